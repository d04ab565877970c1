"""Listings and descriptions of what the store, the runs folder and the node classes hold."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from loadtest.runrecord import Generator, Latency, Lateness, Planned, RunRecord, TargetUrl
from podium import cli
from podium.console import Json
from podium.description import outline
from podium.inventory import race_folders
from podium.racefile import write_race
from predictors.measured import write_measured
from predictors.store import Store
from tests import artifacts, races

RACE = "food11-20250301-101500"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with one variant in its store and one race with two runs, one of them void."""
    staged = artifacts.vector_artifact(tmp_path / "staged")
    stored = Store(tmp_path / "store").put(staged, None)
    write_measured(stored.folder, "4be0643f1d98", batching={"max_batch": 8, "delay_us": 0, "threads": 1})
    folder = tmp_path / "runs" / RACE
    folder.mkdir(parents=True)
    write_race(folder, races.race(races.unloaded(), RACE))
    for name, void in (("01-warmup", "late"), ("02-hold", None)):
        path = folder / "food11-ort-int8" / "local" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(record(name, void).model_dump_json(by_alias=True))
    (folder / "work" / "shot-1").mkdir(parents=True)
    (folder / "work" / "shot-1" / "result.json").write_text("{}")
    (tmp_path / "runs" / "latest").symlink_to(folder)
    return tmp_path


def record(name: str, void: str | None) -> RunRecord:
    latency = Latency(
        clock="intended",
        file=f"{name}.hdr",
        p50_ms=6.4,
        p90_ms=9.0,
        p95_ms=11.0,
        p99_ms=17.3,
        p999_ms=20,
        max_ms=21,
    )
    return RunRecord(
        id=name,
        race=RACE,
        variant="food11-ort-int8",
        address="a" * 64,
        node_class="local",
        target=TargetUrl(url="http://127.0.0.1:18080", protocol="v1-image"),
        phase=name.partition("-")[2],
        level="quick",
        profile_digest="b" * 64,
        schedule_seed=7,
        generator=Generator(tool="k6", version="2.2.0", runners=1),
        planned=Planned(requests=400, seconds=10, rate=40),
        sent=400,
        answered=400,
        codes={"200": 400},
        misses=3,
        latency=latency,
        latency_actual=latency.model_copy(update={"clock": "actual"}),
        lateness=Lateness(p50_ms=0.1, p99_ms=0.4, max_ms=0.9),
        series=(),
        void=void,
        fingerprint="4be0643f1d98",
        started="2025-03-01T10:15:00+00:00",
        seconds=10,
    )


def run(place: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run a command on the folder and return what it prints; it must succeed without a word on stderr."""
    code = cli.run([*words, "--runs", str(place / "runs"), "--store", str(place / "store")])
    captured = capsys.readouterr()
    assert (code, captured.err) == (0, "")
    return captured.out


@pytest.mark.parametrize(
    ("kind", "header", "row"),
    [
        (
            "variants",
            ["ID", "ADDRESS", "RUNTIME", "PRECISION", "SIZE", "QUALITY", "P50_MS", "ITEMS_PER_S", "AGE"],
            ["tiny-ort-fp32", "ort/CPUExecutionProvider", "fp32"],
        ),
        (
            "races",
            ["RACE", "MODEL", "TARGET", "LEVEL", "WINNER", "STARTED"],
            [RACE, "food11", "local", "quick", "none", "2025-03-01T10:15:00+00:00"],
        ),
        (
            "runs",
            ["RUN", "RATE", "SENT", "MISSES", "P99_MS", "PASSPORT"],
            [f"{RACE}/food11-ort-int8/local/01-warmup", "40.0", "400", "3", "17.3", "late"],
        ),
        (
            "classes",
            ["CLASS", "CPU", "MEMORY", "GPU", "RUNTIMES", "POD_PER_HOUR"],
            ["a100", "4", "16Gi", "3.200"],
        ),
    ],
)
def test_each_kind_is_listed_with_its_figures(
    place: Path, capsys: pytest.CaptureFixture[str], kind: str, header: list[str], row: list[str]
) -> None:
    lines = run(place, capsys, "get", kind).splitlines()
    assert lines[0].split() == header
    assert set(row) <= set(lines[1].split())
    assert run(place, capsys, "get", kind.removesuffix("es") if kind == "classes" else kind[:-1]).splitlines()


def test_runs_of_one_race_are_asked_for_by_its_name_or_latest(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in (RACE, "latest"):
        found = json.loads(run(place, capsys, "get", "runs", "--race", name, "-o", "json"))
        assert [(item["phase"], item["void"]) for item in found] == [("warmup", "late"), ("hold", None)]
        assert all(Path(item["file"]).is_file() for item in found)


def test_data_are_the_same_in_json_and_yaml(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["get", "variants"],
        ["get", "races"],
        ["describe", "race", RACE],
        ["describe", "class", "a100"],
    ):
        as_json = json.loads(run(place, capsys, *words, "-o", "json"))
        assert as_json
        assert yaml.safe_load(run(place, capsys, *words, "-o", "yaml")) == as_json


def test_an_empty_listing_says_so_on_stderr_and_is_an_empty_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    for kind in ("variants", "races", "runs"):
        assert cli.run(["get", kind, *folders]) == 0
        captured = capsys.readouterr()
        assert (captured.out, captured.err) == ("", f"no {kind} found\n")
        assert cli.run(["get", kind, "-o", "json", *folders]) == 0
        assert json.loads(capsys.readouterr().out) == ({"variants": []} if kind == "variants" else [])


def test_what_cannot_be_read_is_a_row_that_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "runs" / RACE / "food11-ort-int8" / "local" / "02-hold.json").write_text("{}")
    assert "unreadable" in run(place, capsys, "get", "runs").splitlines()[2]
    assert "error" in json.loads(run(place, capsys, "get", "runs", "-o", "json"))[1]
    (place / "runs" / RACE / "race.json").write_text("{}")
    assert run(place, capsys, "get", "races").splitlines()[1].split() == [RACE, "unreadable"]
    assert "error" in json.loads(run(place, capsys, "get", "races", "-o", "json"))[0]


def test_an_unfinished_race_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    unfinished = races.race(races.unloaded(), RACE).model_copy(update={"finished": None})
    write_race(place / "runs" / RACE, unfinished)
    assert run(place, capsys, "get", "races").splitlines()[1].endswith("unfinished")


def test_an_interrupted_race_is_listed_with_its_runs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "runs" / RACE / "race.json").unlink()
    (place / "runs" / "empty").mkdir()
    lines = run(place, capsys, "get", "races").splitlines()
    assert [line.split() for line in lines[1:]] == [[RACE, "unfinished"]]
    assert len(json.loads(run(place, capsys, "get", "runs", "--race", RACE, "-o", "json"))) == 2


def test_a_variant_is_described_with_its_manifest_and_what_was_measured(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = json.loads(run(place, capsys, "describe", "variant", "tiny-ort-fp32", "-o", "json"))
    assert found["id"] == "tiny-ort-fp32"
    assert len(found["address"]) == 64
    assert found["measured"]["4be0643f1d98"]["batching"]["max_batch"] == 8
    text = run(place, capsys, "describe", "variant", "tiny-ort-fp32")
    assert "max_batch: 8" in text
    assert "id:" in text


def test_a_run_is_described_by_its_name_or_its_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{RACE}/food11-ort-int8/local/02-hold"
    found = json.loads(run(place, capsys, "describe", "run", name, "-o", "json"))
    assert found["schema"] == "podium.dev/run/v1"
    assert found["latency"]["p99_ms"] == 17.3
    assert json.loads(run(place, capsys, "describe", "run", found["file"], "-o", "json")) == found


def test_a_class_is_described_with_its_price_and_chart_values(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(run(place, capsys, "describe", "class", "epyc", "-o", "json"))
    assert found["cost_per_hour"] == pytest.approx(0.8 / 32)
    assert found["helm_values"]["nodeClass"] == "epyc"


def test_the_outline_of_a_race_shortens_lists_and_says_how_to_see_all(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = races.race(races.unloaded(), RACE).events * 4
    write_race(place / "runs" / RACE, races.race(races.unloaded(), RACE).model_copy(update={"events": events}))
    text = run(place, capsys, "describe", "race", "latest")
    assert "and 8 more (-o json shows all)" in text
    assert "slo:" in text
    assert "emulated:" in text


def test_the_outline_aligns_values_and_spells_out_what_is_empty() -> None:
    value: Json = {
        "a": 1.23456789,
        "long": None,
        "b": True,
        "c": [],
        "d": {},
        "e": "",
        "f": [1, "x", None],
        "g": {"h": False},
        "i": [{"j": 1, "k": [{"l": 2}]}],
        "m": list(range(9)),
    }
    assert list(outline(value)) == [
        "a:    1.23457",
        "long: none",
        "b:    yes",
        "c:    none",
        "d:    none",
        "e:    none",
        "f:    1, x, none",
        "g:",
        "  h: no",
        "i:",
        "  - j: 1",
        "    k:",
        "      - l: 2",
        "m:",
        *(f"  - {number}" for number in range(9)),
    ]
    assert list(outline([{"a": 1}] * 12)) == ["- a: 1"] * 12
    assert list(outline([{"a": 1}] * 13)) == ["- a: 1"] * 12 + ["- … and 1 more (-o json shows all)"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["describe", "race", "none"], 3, "there is no race 'none'"),
        (["describe", "run", "none"], 2, "there is no run 'none'"),
        (["describe", "class", "epic"], 3, "there is no node class"),
        (["describe", "variant", "none"], 3, "there is no variant none"),
        (["get", "runs", "--race", "none"], 3, "there is no race 'none'"),
        (["get", "races", "--race", "x"], 2, "it goes with runs only"),
        (["get", "pods"], 2, "'pods' is not one of 'variants'"),
    ],
)
def test_what_is_not_there_is_named_with_a_remedy(
    place: Path, capsys: pytest.CaptureFixture[str], words: list[str], code: int, sentence: str
) -> None:
    assert cli.run([*words, "--runs", str(place / "runs"), "--store", str(place / "store")]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert sentence in captured.err
    assert "  → " in captured.err


def test_without_any_race_the_remedy_is_to_run_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["describe", "run", "x", "--runs", str(tmp_path)]) == 2
    assert "podium race -f" in capsys.readouterr().err


def test_a_damaged_artifact_is_a_row_that_says_so(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Store(place / "store").list()[0].folder
    (folder / "variant.yaml").write_text("id: [")
    assert "unreadable" in run(place, capsys, "get", "variants")
    (item,) = json.loads(run(place, capsys, "get", "variants", "-o", "json"))["variants"]
    assert item["address"] == folder.name
    assert "is not YAML" in item["error"]
    shutil.rmtree(folder)
    assert run(place, capsys, "get", "variants", "-o", "json") == '{\n  "variants": []\n}\n'


def test_races_of_several_models_stand_in_the_order_of_their_time(tmp_path: Path) -> None:
    names = ["by-hand", "zebra-20261120-100000-aaaaaa", "ant-20261121-090000-bbbbbb", "moth-20261121-090001-000000"]
    for name in reversed(names):
        write_race(tmp_path / name, races.race(races.unloaded(), name))
    assert [folder.name for folder in race_folders(tmp_path)] == names
