from pathlib import Path

import pytest

from k8s.airgap import cache, golang, tools, versions
from tests.loads import program


def test_what_is_built_is_put_where_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tmp_path / "made"
    monkeypatch.setattr(golang, "obtain", lambda *_: made)
    store = cache.Cache(tmp_path / "work", tmp_path / "outside")
    for content in ("first", "second", "second"):
        made.unlink(missing_ok=True)
        made.write_text(content)
        made.chmod(0o755)
        found = tools.install("helm", versions.load(), store, tmp_path / "bin")
        assert found == tmp_path / "bin" / "helm"
        assert found.read_text() == content
        assert found.stat().st_mode & 0o100
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["helm"]


@pytest.mark.parametrize(("said", "is_new"), [("v3.17.0+g1", True), ("v4.3.1", True), ("v3.16.9", False), ("", False)])
def test_a_program_of_the_path_must_be_new_enough(
    said: str, is_new: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, f"print('version.BuildInfo{{Version:\"{said}\"}}')", "helm")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert tools.is_on_path("helm", versions.load()) == is_new


def test_a_program_that_is_not_there_or_has_no_oldest_version_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path, "print('v99.0.0')", "etcd")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not tools.is_on_path("helm", versions.load())
    assert not tools.is_on_path("etcd", versions.load())


def test_an_unknown_program_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert tools.main(["helmm"]) == 2
    assert "helm, " in capsys.readouterr().err
    assert tools.main([]) == 2
