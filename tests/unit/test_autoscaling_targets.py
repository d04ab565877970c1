"""Autoscaling targets: what a race says of one pod, and what the autoscalers should be told."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from podium.autoscaling.capacity import LoadPoint, PodCapacity, capacity_of, choose_entry, in_flight_at, load_points
from podium.autoscaling.setting import MeasuredPod, setting_of
from podium.autoscaling.targets import KNATIVE_UTILIZATION, compute_targets, helm_values
from podium.cli import run
from podium.errors import AmbiguousError, ConfigError
from podium.racefile import read_race
from tests import racefolders, races

SCHEMA = (Path(__file__).parents[2] / "charts" / "variant" / "values.schema.json").read_text(encoding="utf-8")
WINNER = "food11-openvino-int8"


def pod(
    safe: float = 100.0,
    saturated: float | None = 180.0,
    points: tuple[LoadPoint, ...] = (LoadPoint(50.0, 0.010), LoadPoint(100.0, 0.030)),
    limit_s: float | None = 0.1,
) -> PodCapacity:
    return PodCapacity("m-ort-int8", "epyc", safe, saturated, points, "mean", limit_s, 0.01, 2.0)


def test_the_three_targets_say_the_same_planned_rate() -> None:
    found = compute_targets(pod(), 0.75)
    assert found.rate == 75.0
    assert found.cpu_percent == 41
    # Half way between the two points: 20 ms, so 1.5 requests are in flight.
    assert found.in_flight == pytest.approx(75 * 0.020)


def test_a_pod_of_half_the_size_is_held_at_half_the_rate_and_at_the_same_share_of_itself() -> None:
    whole, half = compute_targets(pod(), 0.75), compute_targets(pod().times(0.5), 0.75)
    assert half.rate == whole.rate / 2
    assert half.knative_rps == whole.knative_rps / 2
    # As many are in flight: half as many come, and each takes twice as long.
    assert half.cpu_percent == whole.cpu_percent
    assert half.in_flight == pytest.approx(whole.in_flight)


def test_knative_plans_seventy_percent_of_its_target_and_so_arrives_at_the_planned_rate() -> None:
    found = compute_targets(pod(safe=700, points=(LoadPoint(700, 0.1),)), 0.7)
    assert found.knative_rps * KNATIVE_UTILIZATION == pytest.approx(found.rate)
    assert found.knative_metric == "concurrency"
    assert found.knative_target == 70
    assert found.knative_target * KNATIVE_UTILIZATION == pytest.approx(found.in_flight)


def test_a_concurrency_that_no_whole_number_says_becomes_a_rate() -> None:
    found = compute_targets(pod(points=(LoadPoint(100, 0.005),)), 0.7)
    assert found.knative_concurrency == pytest.approx(0.5)
    assert (found.knative_metric, found.knative_target) == ("rps", 100)
    assert any("rps" in note for note in found.notes)
    # One in flight is a whole number, and one that waits would be twice as many.
    single = compute_targets(pod(points=(LoadPoint(100, 0.010),)), 0.7)
    assert single.knative_concurrency == pytest.approx(1)
    assert single.knative_metric == "rps"


def test_the_hard_limit_is_what_a_pod_answers_within_the_latency_clause() -> None:
    assert compute_targets(pod(), 0.7).hard_limit == 18
    assert compute_targets(pod(limit_s=None), 0.7).hard_limit == 0
    assert compute_targets(pod(limit_s=0.001), 0.7).hard_limit >= 1


def test_without_an_offline_phase_or_with_a_gpu_there_is_no_cpu_target() -> None:
    for found in (compute_targets(pod(saturated=None), 0.7), compute_targets(pod(), 0.7, has_gpu=True)):
        assert found.cpu_percent is None
        assert "CPU" in found.notes[0]
        with pytest.raises(ValueError, match="CPU"):
            helm_values(found, "Standard")


def test_what_has_no_figure_says_its_own_reason() -> None:
    measured = pod(points=())
    setting = setting_of(MeasuredPod(measured, compute_targets(measured, 0.7), has_gpu=False))
    with pytest.raises(ConfigError, match="in-flight: in flight is not known"):
        setting.full("in-flight")
    assert setting.full("cpu") == 55
    unsaturated = pod(saturated=None, points=())
    setting = setting_of(MeasuredPod(unsaturated, compute_targets(unsaturated, 0.7), has_gpu=False))
    with pytest.raises(ConfigError, match="cpu: CPU at the planned rate is not known"):
        setting.full("cpu")
    with pytest.raises(ConfigError, match="in-flight: in flight is not known"):
        setting.full("in-flight")


def test_pods_are_counted_at_the_planned_rate() -> None:
    assert compute_targets(pod(), 0.5, rates={"asked": 100.0, "peak": 101.0}).pods == {"asked": 2, "peak": 3}


@given(
    safe=st.floats(0.5, 5000),
    more=st.floats(1, 3),
    latency=st.floats(1e-4, 5),
    low=st.floats(0.05, 1),
    high=st.floats(0.05, 1),
)
def test_a_lower_plan_never_has_a_higher_target(
    safe: float, more: float, latency: float, low: float, high: float
) -> None:
    low, high = sorted((low, high))
    one = pod(safe, safe * more, (LoadPoint(safe / 2, latency), LoadPoint(safe, latency * 2)))
    below, above = compute_targets(one, low), compute_targets(one, high)
    assert below.rate <= above.rate
    assert (below.cpu_percent or 0) <= (above.cpu_percent or 0) <= 100
    assert (below.in_flight or 0) <= (above.in_flight or 0) + 1e-9
    assert below.hard_limit <= above.hard_limit


@settings(max_examples=40)
@given(
    safe=st.floats(0.5, 5000),
    latency=st.floats(1e-4, 60),
    limit=st.none() | st.floats(1e-3, 60),
    share=st.floats(0.01, 1),
    most=st.none() | st.integers(1, 1000),
)
def test_the_chart_takes_the_values(
    safe: float, latency: float, limit: float | None, share: float, most: int | None
) -> None:
    found = compute_targets(pod(safe, safe * 2, (LoadPoint(safe, latency),), limit), share)
    schema = json.loads(SCHEMA)
    standard = helm_values(found, "Standard", most_pods=most)
    knative = helm_values(found, "Knative", most_pods=most)
    for values in (standard, knative):
        for key, value in values.items():
            jsonschema.validate(value, {**schema["properties"][key], "definitions": schema["definitions"]})
    assert standard["autoscaling"] != knative["autoscaling"]


def test_latency_is_interpolated_between_rates_and_not_beyond_them() -> None:
    points = (LoadPoint(10, 0.1), LoadPoint(20, 0.2))
    assert in_flight_at(points, 15) == pytest.approx(15 * 0.15)
    assert in_flight_at(points, 5) == pytest.approx(5 * 0.1)
    assert in_flight_at(points, 40) == pytest.approx(40 * 0.2)
    assert in_flight_at((), 10) is None


def test_a_race_gives_the_capacity_of_its_winner(finished: Path) -> None:
    race = read_race(finished)
    entry = choose_entry(race, None, None)
    found = capacity_of(race, finished, entry)
    assert entry.server_max_rps is not None
    assert (found.variant, found.safe_rate) == (WINNER, entry.server_max_rps.low)
    assert found.limit_s == 0.1
    assert found.allowed_misses == 0.01
    assert found.latency_from == "mean"
    assert [one.rate for one in found.points] == [40.0]
    # A queue of service time 5.2 ms at a fifth of its rate: little waiting, and never less than the service.
    assert 0.0052 < found.points[0].latency_s < 0.008
    assert found.saturated_rate is not None
    assert found.saturated_rate >= found.safe_rate


def test_means_are_of_the_records_and_void_runs_are_left_out(tmp_path: Path) -> None:
    race = racefolders.write_finished(tmp_path / "race")
    entry = choose_entry(race, WINNER, None)
    both, _ = load_points(tmp_path / "race", entry)
    voided = racefolders.write_hold(tmp_path / "void", races.VARIANTS[0], void="late")
    assert both
    medians, source = load_points(tmp_path / "void", entry.model_copy(update={"runs": voided}))
    assert source == "median"
    assert len(medians) > 1
    assert [one.rate for one in medians] == sorted({one.rate for one in medians})


def test_what_has_no_winner_or_no_capacity_is_refused(race_folder: Path) -> None:
    race = read_race(race_folder)
    with pytest.raises(ConfigError, match="no variant 'nope'") as caught:
        choose_entry(race, "nope", None)
    assert WINNER in caught.value.hint
    loser = race.model_copy(update={"winner": None})
    with pytest.raises(ConfigError, match="no winner"):
        choose_entry(loser, None, None)
    skipped = choose_entry(race, "food11-openvino-fp16", None)
    with pytest.raises(ConfigError, match="was not searched"):
        capacity_of(race, race_folder, skipped)


def test_a_variant_of_several_node_classes_needs_one_named(race_folder: Path) -> None:
    race = read_race(race_folder)
    twin = race.variants[0].model_copy(update={"node_class": "epyc"})
    both = race.model_copy(update={"variants": (*race.variants, twin)})
    with pytest.raises(AmbiguousError, match="local, epyc"):
        choose_entry(both, WINNER, None)
    assert choose_entry(both, WINNER, "epyc").node_class == "epyc"


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(finished)
    return tmp_path / "runs"


def test_the_command_prints_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["autoscale", "targets", "latest", "--runs", str(runs), "--peak", "400/s"]) == 0
    out = capsys.readouterr().out
    assert WINNER in out
    assert "autoscaling.targetUtilization" in out
    assert "pods at peak rate" in out


def test_the_command_prints_values_of_the_chart(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["autoscale", "targets", "latest", "--runs", str(runs), "-o", "yaml"]
    assert run(words) == 0
    standard = yaml.safe_load(capsys.readouterr().out)
    assert standard["mode"] == "Standard"
    assert 1 <= standard["autoscaling"]["targetUtilization"] <= 100
    assert "replicas" not in standard
    assert run([*words, "--mode", "Knative", "--peak", "900"]) == 0
    knative = yaml.safe_load(capsys.readouterr().out)
    assert knative["autoscaling"] == {"enabled": False}
    assert knative["replicas"]["max"] > 2


def test_the_command_prints_json(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["autoscale", "targets", "latest", "--runs", str(runs), "-o", "json", "--utilization", "50%"]
    assert run(words) == 0
    half = json.loads(capsys.readouterr().out)
    assert half["hpa"]["rate"] == pytest.approx(half["safe_rate"] / 2)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["nowhere"], 3, "there is no race"),
        (["latest", "--variant", "nope"], 3, "no variant"),
        (["latest", "--variant", "food11-ort-fp16"], 3, "was not searched"),
        (["latest", "--utilization", "170%"], 2, "--utilization"),
        (["latest", "--utilization", "much"], 2, "--utilization"),
        (["latest", "--peak", "-3/s"], 2, "--peak"),
        (["latest", "--peak", "900000/s"], 3, "the chart takes 1,000 at most"),
    ],
)
def test_what_cannot_be_computed_says_so(
    runs: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["autoscale", "targets", *words, "--runs", str(runs)]) == code
    assert said in capsys.readouterr().err
