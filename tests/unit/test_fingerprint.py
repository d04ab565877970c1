"""Fingerprints: equal for equal machines, different for whatever changes a figure."""

from pathlib import Path

import pytest

from predictors.fingerprint import cpu_features, environment, fingerprint


def machine(root: Path, model: str = "EPYC 7763", flags: str = "fpu avx2 fma avx512_vnni") -> Path:
    (root / "proc").mkdir(parents=True, exist_ok=True)
    core = f"processor\t: 0\nmodel name\t: {model}\nflags\t\t: {flags}\n\n"
    (root / "proc" / "cpuinfo").write_text(core + core.replace(model, "second core"), encoding="utf-8")
    (root / "proc" / "meminfo").write_text("MemTotal:   16252928 kB\nMemFree: 1 kB\n", encoding="utf-8")
    return root


@pytest.fixture(autouse=True)
def _no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)


def test_the_facts_are_those_of_the_kernels_files(tmp_path: Path) -> None:
    facts = environment("epyc", 1, root=machine(tmp_path))
    assert facts["cpu_model"] == "EPYC 7763"
    assert facts["cpu_features"] == ["avx2", "avx512_vnni", "fma"]
    assert facts["memory_gib"] == 16
    assert (facts["container"], facts["cgroup"], facts["cpus"]) == ("none", 1, 1.0)


def test_equal_machines_have_equal_fingerprints_whatever_the_order(tmp_path: Path) -> None:
    facts = environment("epyc", 1, root=machine(tmp_path / "one"))
    other = environment("epyc", 1.0, root=machine(tmp_path / "two"))
    assert fingerprint(facts) == fingerprint(dict(reversed(other.items())))
    assert len(fingerprint(facts)) == 12


def test_free_memory_changes_no_fingerprint(tmp_path: Path) -> None:
    root = machine(tmp_path)
    before = fingerprint(environment("epyc", 1, root=root))
    (root / "proc" / "meminfo").write_text("MemTotal: 16252928 kB\nMemFree: 9 kB\n", encoding="utf-8")
    assert fingerprint(environment("epyc", 1, root=root)) == before


def test_class_share_processor_and_container_each_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = machine(tmp_path)
    seen = {
        fingerprint(environment("epyc", 1, root=root)),
        fingerprint(environment("local", 1, root=root)),
        fingerprint(environment("epyc", 2, root=root)),
        fingerprint(environment("epyc", 1, root=machine(root, flags="fpu avx2 fma"))),
        fingerprint(environment("epyc", 1, root=machine(root, model="EPYC 9654"))),
    }
    (root / ".dockerenv").touch()
    seen.add(fingerprint(environment("epyc", 1, root=root)))
    (root / "run").mkdir()
    (root / "run" / ".containerenv").touch()
    seen.add(fingerprint(environment("epyc", 1, root=root)))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    seen.add(fingerprint(environment("epyc", 1, root=root)))
    assert len(seen) == 8


def test_a_machine_without_these_files_still_has_a_fingerprint(tmp_path: Path) -> None:
    facts = environment("local", 0.5, root=tmp_path)
    assert (facts["memory_gib"], facts["cpu_features"]) == (0, [])
    assert fingerprint(facts) != fingerprint(environment("local", 0.5))


def test_the_instruction_sets_are_those_of_the_environment(tmp_path: Path) -> None:
    assert list(cpu_features()) == environment("local", 1.0)["cpu_features"]
    assert cpu_features(tmp_path) == ()
