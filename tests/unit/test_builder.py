"""Building and evaluating in a child process: its answers, its refusals, its end, and that it leaves nothing."""

import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.builder import Builder, RefusedError
from podium.errors import MachineError
from predictors.manifest import address_of
from predictors.measured import read_measured
from tests.eventually import eventually
from tests.sources import card_text, stripes_source


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stripes_source(tmp_path_factory.mktemp("stripes"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PODIUM_DATA", str(root))
        yield root


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory, data: Path, said: list[str]) -> Iterator[Builder]:
    with Builder(log=tmp_path_factory.mktemp("log") / "build.log", progress=said.append) as child:
        yield child


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store")


def children() -> set[int]:
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = path.read_text().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if int(parent) == os.getpid() and state != "Z":
            found.add(int(path.parent.name))
    return found


def test_a_variant_is_built_and_then_found(builder: Builder, model: Path, tmp_path: Path, said: list[str]) -> None:
    store = tmp_path
    built = builder.build(model_folder=model, variant_id="stripes-ort-fp32", store=store)
    assert (built["variant_id"], built["cached"]) == ("stripes-ort-fp32", False)
    assert built["seconds"] > 0
    folder = Path(built["folder"])
    assert folder.is_relative_to(store)
    assert address_of(folder) == built["address"]
    assert said
    again = builder.build(model_folder=model, variant_id="stripes-ort-fp32", store=store)
    assert (again["cached"], again["address"], again["folder"]) == (True, built["address"], built["folder"])


def test_quality_is_measured_against_the_source_and_kept(
    builder: Builder, model: Path, store: Path, said: list[str]
) -> None:
    source = builder.build(model_folder=model, variant_id="stripes-ort-fp32", store=store)
    made = builder.build(model_folder=model, variant_id="stripes-ort-int8", store=store)
    found = builder.evaluate(
        model_folder=model,
        artifact=Path(made["folder"]),
        source=Path(source["folder"]),
        threads=1,
        fingerprint="4be0643f1d98",
    )
    assert (found["metric"], found["n"], found["source_value"]) == ("accuracy", 12, 1.0)
    kept = read_measured(Path(made["folder"]), "4be0643f1d98").quality
    assert kept is not None
    assert found == {"event": "done", **kept.model_dump(mode="json")}
    assert "stripes-ort-int8: 12 of 12 test images" in said


def test_payloads_are_a_folder_of_test_images(builder: Builder, model: Path, data: Path) -> None:
    folder = builder.payloads(model_folder=model)
    assert folder.is_relative_to(data)
    assert len(list(folder.iterdir())) == 12


def test_a_refusal_is_handed_on_and_the_child_goes_on(
    builder: Builder, model: Path, store: Path, tmp_path: Path
) -> None:
    before = children()
    with pytest.raises(RefusedError) as refused:
        builder.build(model_folder=tmp_path, variant_id="stripes-ort-fp32", store=store)
    assert str(refused.value) == f"{tmp_path} holds no model.yaml"
    assert refused.value.hint.startswith("write a model card there")
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    (broken / "model.onnx").write_bytes(b"no graph")
    with pytest.raises(RefusedError):
        builder.build(model_folder=broken, variant_id="stripes-ort-fp32", store=store)
    built = builder.build(model_folder=model, variant_id="stripes-ort-fp32", store=store)
    assert built["variant_id"] == "stripes-ort-fp32"
    assert children() >= before


def test_a_builder_that_was_asked_nothing_starts_nothing(tmp_path: Path) -> None:
    before = children()
    with Builder(log=tmp_path / "log", progress=lambda _: None):
        assert children() == before
    assert not (tmp_path / "log").exists()


def test_a_child_that_fails_is_named_with_its_log(model: Path, tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    before = children()
    with (
        Builder(log=log, progress=lambda _: None) as builder,
        pytest.raises(MachineError, match=r"ended with exit code 1; its log ends: .*StopIteration") as failed,
    ):
        builder.build(model_folder=model, variant_id="stripes-torch-fp32", store=tmp_path)
    assert str(log) in failed.value.hint
    assert children() <= before


def test_a_child_that_was_killed_between_two_jobs_is_named_too(tmp_path: Path) -> None:
    (tmp_path / "model.yaml").write_text(card_text())
    before = children()
    with Builder(log=tmp_path / "log", progress=lambda _: None) as builder:
        with pytest.raises(RefusedError):
            builder.build(model_folder=tmp_path / "none", variant_id="x", store=tmp_path)
        (child,) = children() - before
        os.kill(child, signal.SIGKILL)
        eventually(lambda: child not in children())
        with pytest.raises(MachineError, match="ended with signal SIGKILL"):
            builder.build(model_folder=tmp_path, variant_id="x", store=tmp_path)


def test_leaving_ends_the_child(tmp_path: Path) -> None:
    before = children()
    with Builder(log=tmp_path / "log", progress=lambda _: None) as builder:
        with pytest.raises(RefusedError):
            builder.payloads(model_folder=tmp_path / "none")
        assert len(children() - before) == 1
    assert children() <= before


def test_an_interrupted_build_takes_its_draft_away_even_where_the_machine_holds_it_up(
    model: Path, tmp_path: Path
) -> None:
    before, staging = children(), tmp_path

    def interrupt(_: str) -> None:
        (child,) = children() - before
        os.kill(child, signal.SIGSTOP)
        # What is told may be over already when it is heard.
        if any(staging.iterdir()):
            threading.Timer(1.0, os.kill, (child, signal.SIGCONT)).start()
            raise KeyboardInterrupt
        os.kill(child, signal.SIGCONT)

    for number in range(20):
        staging = tmp_path / str(number) / ".staging"
        staging.mkdir(parents=True)
        try:
            with Builder(log=tmp_path / "log", progress=interrupt) as builder:
                builder.build(model_folder=model, variant_id="stripes-ort-int8", store=staging.parent)
        except KeyboardInterrupt:
            break
    else:
        pytest.fail("no draft was seen in 20 builds")
    assert list(staging.iterdir()) == []
    assert children() <= before
