"""What `podium diagnose` reads: records, artifacts and benchmarks on disk, planted one by one."""

import json
from pathlib import Path
from typing import Any

import pytest

from podium.benchfile import read_bench
from podium.cli import run
from podium.errors import AmbiguousError, UnsettledError, UsageError
from podium.slowness import diagnose
from podium.symptoms import read_symptoms
from predictors.manifest import read_variant, write_variant
from predictors.measured import write_measured
from predictors.store import Store
from tests.artifacts import vector_artifact
from tests.benches import bench_played
from tests.simulated import SimulatedTarget

# What a server says that suffers from nearly everything: its counters grow by so much a load.
SICK: dict[str, Any] = {
    "threads": 8,
    "cpu_limit": 2.0,
    "cores": [0],
    "providers": ["CPUExecutionProvider"],
}
GROWTH: dict[str, dict[str, float]] = {
    "cgroup": {"nr_periods": 100, "nr_throttled": 30},
    "stages": {"answers": 100.0, "decode": 2.0, "compute": 0.5, "queue": 2.0},
    "batches": {"1": 80, "2": 10},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an fp32 artifact, and the same as a dynamically quantized int8 one."""
    store = Store(tmp_path / "store")
    for precision, after in (("fp32", {"Gemm": 1}), ("int8", {"ConvInteger": 3, "Gemm": 1})):
        folder = vector_artifact(tmp_path / precision)
        variant = read_variant(folder)
        ops = variant.ops.model_copy(update={"after": after})
        changed = variant.model_copy(update={"id": f"tiny-ort-{precision}", "precision": precision, "ops": ops})
        (folder / "variant.yaml").unlink()
        write_variant(folder, changed)
        store.put(folder)
    return store


def server(address: str = "") -> SimulatedTarget:
    """A server of an artifact, healthy as far as it says, asked in JSON."""
    target = SimulatedTarget({"mine": 5.0})
    target.protocol = "v2-json"
    target.facts = {"cpu_features": ["avx2"]}
    target.state = {"address": address}
    return target


def played(root: Path, target: SimulatedTarget) -> str:
    """Play a bench of a server and return its name."""
    return bench_played(root, target, "v2-json", "model")


def sick(address: str) -> SimulatedTarget:
    """A server that suffers from nearly everything, so that all its runs are void."""
    target = server(address)
    target.state |= SICK
    target.growth = GROWTH
    return target


def test_everything_that_is_on_disk_is_read_of_void_runs_too(tmp_path: Path, store: Store) -> None:
    int8, fp32 = store.find("tiny-ort-int8"), store.find("tiny-ort-fp32")
    name = played(tmp_path, sick(int8.address))
    bench = read_bench(tmp_path / "runs" / name)
    assert (bench.status, bench.void) == ("VOID", "throttled")
    for stored, p50_ms in ((int8, 2.0), (fp32, 1.0)):
        point = {"threads": 1, "batch": 1, "p50_ms": p50_ms, "low": p50_ms * 0.95, "high": p50_ms * 1.05}
        write_measured(stored.folder, bench.fingerprint, engine=[{**point, "items_per_second": 1000 / p50_ms}])
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert (seen.precision, seen.cpu_features, seen.protocol) == ("int8", frozenset({"avx2"}), "v2-json")
    assert (seen.threads, seen.cpus) == (8, 1.0)
    # A block that was void twice.
    assert (seen.void, seen.periods, seen.throttled, seen.answers) == (("throttled",), 200, 60, 200)
    assert seen.stage_s == pytest.approx({"decode": 0.02, "compute": 0.005, "queue": 0.02})
    assert seen.mean_batch == pytest.approx((80 + 20) / 90)
    assert seen.engine is not None
    assert seen.engine_fp32 is not None
    assert (seen.engine.p50_ms, seen.engine_fp32.p50_ms) == (2.0, 1.0)
    causes = {one.number for one in diagnose(seen) if one.outcome == "cause"}
    assert causes == {1, 2, 4, 5, 7}


def test_too_many_threads_void_every_run_and_are_named(tmp_path: Path, store: Store) -> None:
    target = server()
    target.state |= {"threads": 8}
    name = played(tmp_path, target)
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert seen.void == ("thread-mismatch",)
    assert [(one.number, one.sentence) for one in diagnose(seen) if one.outcome == "cause"] == [
        (4, "8 threads on 1 CPUs")
    ]
    (first, *_) = sorted((tmp_path / "runs" / name).glob("*/url/*-hold.json"))
    assert read_symptoms(str(first), runs=tmp_path / "runs", store=store).void == ("thread-mismatch",)


def test_a_healthy_server_has_valid_runs_and_no_cause(tmp_path: Path, store: Store) -> None:
    name = played(tmp_path, server())
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert (seen.void, seen.threads, seen.cpus) == ((), 1, 1.0)
    assert "cause" not in {one.outcome for one in diagnose(seen)}


def test_a_server_that_says_nothing_leaves_everything_unknown(tmp_path: Path, store: Store) -> None:
    target = server()
    target.state = {"threads": None, "cpu_limit": None, "cgroup": None}
    name = played(tmp_path, target)
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert (seen.precision, seen.threads, seen.periods, seen.stage_s) == (None, None, None, {})
    assert "cause" not in {one.outcome for one in diagnose(seen)}


def test_runs_in_which_the_server_ended_tell_nothing_of_it(tmp_path: Path, store: Store) -> None:
    target = server()
    # The first load is that of the single stream.
    target.ends_in["mine"] = 1
    name = played(tmp_path, target)
    with pytest.raises(UnsettledError, match="the server ended, or was not the one"):
        read_symptoms(name, runs=tmp_path / "runs", store=store)
    target = server()
    target.ends_in["mine"] = 2
    name = played(tmp_path, target)
    assert read_symptoms(name, runs=tmp_path / "runs", store=store).void == ()


def test_a_variant_of_the_store_is_looked_at_without_a_run(tmp_path: Path, store: Store) -> None:
    seen = read_symptoms("tiny-ort-int8", runs=tmp_path / "runs", store=store)
    assert [one.number for one in diagnose(seen) if one.outcome == "cause"] == [2]
    with pytest.raises(UsageError, match="no runs and no variant 'nothing'"):
        read_symptoms("nothing", runs=tmp_path / "runs", store=store)


def test_several_variants_have_to_be_told_apart(finished: Path, store: Store) -> None:
    with pytest.raises(AmbiguousError, match="name one of them"):
        read_symptoms(finished.name, runs=finished.parent, store=store)


def test_the_command_prints_causes_with_their_change(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = played(tmp_path, sick(store.find("tiny-ort-int8").address))
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    assert run(["diagnose", name, *places]) == 0
    shown = capsys.readouterr().out
    assert "8 threads on 1 CPUs" in shown
    assert "podium serve --cpus 1" in shown
    assert "all runs of it are void (throttled)" in shown
    assert run(["diagnose", name, *places, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in document["findings"]] == list(range(1, 11))
    assert document["void"] == ["throttled"]
    assert run(["diagnose", "tiny-ort-fp32", *places]) == 0
    assert "no cause was found" in capsys.readouterr().out
    assert run(["diagnose", "nothing", *places]) == 2
