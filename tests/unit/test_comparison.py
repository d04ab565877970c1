"""Comparisons of runs on disk: what is the same, what differs, what may not be compared, and how each is told."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadtest.runrecord import RunRecord
from loadtest.shot import Endpoint
from podium.bench import run_bench
from podium.benchplan import BenchPlan
from podium.cli import run
from podium.comparability import NotComparableError
from podium.comparison import Comparison, compare
from podium.errors import UnsettledError, UsageError
from podium.runbook import StoredRun
from podium.runseries import RunSeries, find_series, series_of
from tests.loads import payloads
from tests.simulated import HOLD, OFFLINE, SINGLE, SimulatedTarget, profile

LONG = HOLD.replace("block: 10s", "block: 40s").replace("blocks: 5", "blocks: 1")
STEADY = HOLD.replace(", stopWhenOversaturated: true", "")


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Benches of a server, of the same again, and of one that takes a third longer."""
    root = tmp_path_factory.mktemp("benches")
    for name, service_ms in (("old", 6.0), ("same", 6.0), ("slow", 8.0)):
        bench(root, name, service_ms, SINGLE, OFFLINE, STEADY)
    return root / "runs"


def bench(root: Path, name: str, service_ms: float, *phases: str, seed: int = 5) -> Path:
    plan = BenchPlan(
        endpoint=Endpoint("http://127.0.0.1:1", "v1-image", "model"),
        profile=profile(*phases),
        payloads=payloads(root / "photos"),
        rate=40.0,
        slo=None,
        name=name,
        runners=1,
        seed=seed,
        runs=root / "runs",
        labels=(),
    )
    return run_bench(plan, target=SimulatedTarget({name: service_ms}))[0]


def folder(runs: Path, name: str) -> Path:
    (found,) = runs.glob(f"bench-{name}-*")
    return found


def compared(runs: Path, first: str, second: str, **options: Any) -> Comparison:
    phase = options.pop("phase", None)
    sides = [find_series(folder(runs, name).name, runs, phase=phase) for name in (first, second)]
    return compare(sides[0], sides[1], **options)


def outcomes(found: Comparison) -> dict[str, str]:
    return {one.name: one.outcome for one in found.figures}


def test_a_slower_server_is_slower_and_the_same_is_not(played: Path) -> None:
    slow = compared(played, "old", "slow")
    assert slow.what == "5 pairs of blocks"
    assert outcomes(slow) == {"p50": "slower", "p90": "slower", "p99": "slower", "rate": "no difference"}
    ratio = slow.figures[0].ratio
    assert ratio is not None
    assert 1.2 < ratio.low <= ratio.high < 1.6
    back = compared(played, "slow", "old")
    assert outcomes(back)["p50"] == "faster"
    same = compared(played, "old", "same")
    assert set(outcomes(same).values()) == {"no difference"}


def test_one_request_at_a_time_and_everything_at_once_are_compared_within_the_run(played: Path) -> None:
    alone = compared(played, "old", "slow", phase="single-stream")
    assert outcomes(alone) == {"p50": "slower", "p90": "slower"}
    assert alone.what == "3 pairs of batches within one run"
    assert any("differ by chance" in note for note in alone.notes)
    most = compared(played, "old", "slow", phase="offline")
    assert outcomes(most) == {"rate": "less"}


def test_one_run_is_cut_into_batches_where_it_is_long_enough(played: Path, tmp_path: Path) -> None:
    runs = [
        find_series(str(next(folder(played, name).glob("*/url/*03-hold.json"))), played) for name in ("old", "slow")
    ]
    short = compare(runs[0], runs[1])
    assert outcomes(short) == {"p50": "not settled", "p90": "not settled", "p99": "not settled"}
    for name, service_ms in (("old", 6.0), ("slow", 9.0)):
        bench(tmp_path, name, service_ms, LONG)
    long = compared(tmp_path / "runs", "old", "slow")
    assert long.what == "4 pairs of batches within one run" or long.what == "3 pairs of batches within one run"
    assert outcomes(long)["p50"] == "slower"


def test_another_schedule_is_refused_unless_it_is_asked_for(played: Path, tmp_path: Path) -> None:
    bench(tmp_path, "other", 8.0, STEADY, seed=900)
    other = find_series(folder(tmp_path / "runs", "other").name, tmp_path / "runs")
    old = find_series(folder(played, "old").name, played)
    with pytest.raises(NotComparableError, match=r"other schedules \(seeds 5 and 900\)"):
        compare(old, other)
    apart = compare(old, other, needs_pairs=False)
    assert apart.what == "5 and 5 blocks of other schedules, unpaired"
    assert outcomes(apart)["p50"] == "slower"


def change(runs: Path, edit: Callable[[dict[str, Any]], None], *, only: int | None = None) -> None:
    for number, path in enumerate(sorted(runs.glob("bench-b-*/*/url/*hold.json"))):
        record = json.loads(path.read_text())
        if only is None or number == only:
            edit(record)
            RunRecord.model_validate_json(json.dumps(record))
            path.write_text(json.dumps(record))


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    for name in ("a", "b"):
        bench(tmp_path, name, 6.0, STEADY.replace("blocks: 5", "blocks: 3"))
    return tmp_path / "runs"


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda record: record.update(fingerprint="f" * 12), "fingerprints .* and ffffffffffff"),
        (lambda record: record["target"].update(protocol="grpc"), "protocol: v1-image and grpc"),
        (lambda record: record.update(timeout_s=1.0), "time-out: 2 s and 1 s"),
        (lambda record: record["planned"].update(rate=41.0), "rate: 40/s and 41/s"),
        (lambda record: record["planned"].update(seconds=60.0), "length of a block: 11.2 s and 60 s"),
        (lambda record: record["generator"].update(tool="vegeta"), "generator: k6 and vegeta"),
        (
            lambda record: next(p for p in record["passport"] if p["check"] == "payload-drift").update(value="abc"),
            "payloads: [0-9a-f]{12} and abc",
        ),
    ],
)
def test_what_differs_is_named(pair: Path, edit: Callable[[dict[str, Any]], None], told: str) -> None:
    change(pair, edit)
    with pytest.raises(NotComparableError, match=told):
        compared(pair, "a", "b", needs_pairs=False)


def test_the_facts_behind_a_fingerprint_are_named(pair: Path) -> None:
    change(pair, lambda record: record.update(fingerprint="f" * 12))
    path = folder(pair, "b") / "bench.json"
    path.write_text(path.read_text().replace('"node_class": "url"', '"node_class": "elsewhere"'))
    with pytest.raises(NotComparableError, match="node_class url and elsewhere"):
        compared(pair, "a", "b")


def test_the_intended_starts_are_the_schedule_whatever_the_record_says(pair: Path) -> None:
    samples = sorted(folder(pair, "b").rglob("*.samples"))
    swapped = [path.read_bytes() for path in samples][::-1]
    for path, content in zip(samples, swapped, strict=True):
        path.write_bytes(content)
    # Only the block in the middle still has its own samples.
    assert compared(pair, "a", "b").notes[0].startswith("4 blocks have no partner")


def test_void_runs_are_left_out_and_nothing_is_compared_where_all_are(pair: Path) -> None:
    change(pair, lambda record: record.update(void="late"), only=0)
    assert compared(pair, "a", "b").what == "2 pairs of blocks"
    change(pair, lambda record: record.update(void="late"))
    with pytest.raises(UnsettledError, match=r"all runs of hold in .* are void"):
        compared(pair, "a", "b")
    with pytest.raises(UnsettledError, match="is void:late"):
        find_series(f"{folder(pair, 'b').name}/b/url/01-hold", pair)


def test_a_series_is_named_in_every_way_that_get_runs_prints(played: Path) -> None:
    place = folder(played, "old")
    for name in (place.name, f"{place.name}/old", f"{place.name}/old/url", str(place)):
        assert len(find_series(name, played).runs) == 5
    for name in (f"{place.name}/old/url/03-hold", str(place / "old/url/03-hold.json")):
        assert len(find_series(name, played).runs) == 1
    assert series_of(place, "old", "url", phase="offline").first.phase == "offline"
    with pytest.raises(UsageError, match="there is no run and no race"):
        find_series("yesterday", played)
    with pytest.raises(UsageError, match="has no run of search"):
        find_series(place.name, played, phase="search")
    with pytest.raises(UsageError, match="is a run of hold"):
        find_series(f"{place.name}/old/url/03-hold", played, phase="offline")


def test_several_variants_have_to_be_told_apart(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has the runs of") as refused:
        find_series(str(finished), tmp_path)
    assert "food11-ort-int8/local" in refused.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="there are no runs in"):
        find_series("empty", tmp_path)


def test_the_command_prints_a_table_and_a_document(played: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [folder(played, name).name for name in ("old", "same")]
    assert run(["compare", *names, "--runs", str(played)]) == 0
    shown = capsys.readouterr().out
    assert "5 pairs of blocks" in shown
    assert "or more would show (four times in five)" in shown
    assert run(["compare", *names, "--runs", str(played), "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert {one["outcome"] for one in document["figures"]} == {"no difference"}
    assert all(one["minimum_detectable"] is not None for one in document["figures"])
    assert run(["compare", names[0], "nothing", "--runs", str(played)]) == 2


def test_what_is_asked_about_may_differ_and_nothing_else(played: Path) -> None:
    first, second = (find_series(folder(played, name).name, played, phase="hold") for name in ("old", "slow"))
    target = first.first.target.model_copy(update={"protocol": "v2-json"})
    other = RunSeries(
        first.name,
        tuple(StoredRun(run.path, run.record.model_copy(update={"target": target})) for run in first.runs),
        first.facts,
    )
    with pytest.raises(NotComparableError, match="protocol: v2-json and v1-image"):
        compare(other, second)
    assert outcomes(compare(other, second, under_test={"protocol"}))["p50"] == "slower"
    with pytest.raises(NotComparableError, match="protocol"):
        compare(other, second, under_test={"payloads"})
