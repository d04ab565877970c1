"""`podium autoscale simulate` and `suggest`: what they print, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from podium import figures
from podium.autoscaling.policy import load_policy
from podium.autoscaling.proposal import CHART_BEHAVIOR
from podium.cli import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def runs(finished: Path, tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(finished)
    return tmp_path / "runs"


def simulate(runs: Path, *words: str) -> int:
    return run(["autoscale", "simulate", "--runs", str(runs), *words])


def test_policies_are_compared_in_a_table(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trace", "burst", "--trace", "step", "--policy", "kserve-default", "--policy", "computed-rate"]
    assert simulate(runs, *words) == 0
    out = capsys.readouterr().out
    assert "simulated, not measured" in out
    assert [out.count(name) for name in ("burst-0", "step-0", "kserve-default", "computed-rate")] == [2, 2, 2, 2]
    assert "SLO VIOLATED" in out


def test_json_has_every_second_and_is_the_same_each_time(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trace", "diurnal", "--length", "2m", "-o", "json", "--max-pods", "3"]
    for name in ("kserve-default", "knative-default", "computed-cpu", "computed-in-flight", "computed-knative"):
        words += ["--policy", name]
    assert simulate(runs, *words) == 0
    first = capsys.readouterr().out
    found = json.loads(first)
    assert len(found) == 5
    for one in found:
        assert {len(column) for column in one["seconds"].values()} == {120}
        assert max(one["seconds"]["wanted"]) <= 3
        assert one["simulated"] is True
        assert sum(one["seconds"]["paid"]) == one["pod_seconds"]
    assert simulate(runs, *words) == 0
    assert capsys.readouterr().out == first


def test_a_slower_start_violates_the_slo_for_longer(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for start in ("1s", "60s"):
        assert simulate(runs, "--trace", "step", "--policy", "computed-rate", "--start", start, "-o", "json") == 0
        found.append(json.loads(capsys.readouterr().out)[0]["slo_violation_s"])
    assert found[0] < found[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--trace", "burst", "--policy", "kserve-defalt"], 3, "did you mean kserve-default"),
        (["--trace", "burst", "--policy", "computed-memory"], 2, "computed-cpu"),
        (["--trace", "spiky", "--policy", "kserve-default"], 2, "no trace 'spiky'"),
        (["--trace", "burst", "--policy", "kserve-default", "--length", "5s"], 2, "--length"),
        (["--trace", "burst", "--policy", "kserve-default", "--length", "360"], 3, "no unit"),
        (["--trace", "burst", "--policy", "kserve-default", "--policy", "kserve-default"], 2, "one name"),
        (["--trace", "burst"], 2, "--policy"),
        (["--trace", "burst", "--policy", "kserve-default", "--race", "gone"], 3, "no race"),
        (["--trace", "burst", "--policy", "kserve-default", "--peak", "0"], 2, "--peak"),
    ],
)
def test_what_cannot_be_simulated_says_so(
    runs: Path, words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(runs, *words) == code
    assert said in capsys.readouterr().err


def test_a_maximum_below_what_a_policy_keeps_is_refused(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "three.yaml").write_text("name: three\nkind: hpa\ntarget: 50\nreplicas: {min: 3, max: 9}\n")
    words = ["--trace", "burst", "--policy", str(tmp_path / "three.yaml")]
    assert simulate(runs, *words, "--max-pods", "2") == 2
    assert "below the 3 pods that three keeps" in capsys.readouterr().err
    assert simulate(runs, *words, "--max-pods", "3") == 0


def recorded(tmp_path: Path, per_second: int) -> str:
    """A quarter of a minute of arrivals at one rate, which no option changes."""
    file = tmp_path / "prod.txt"
    file.write_text("".join(f"{index / per_second:.6f}\n" for index in range(15 * per_second)))
    return str(file)


def test_computed_policies_may_grow_to_what_a_recorded_trace_needs(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(runs, "--trace", "step", "--policy", "computed-rate", "-o", "json") == 0
    told = json.loads(capsys.readouterr().out)[0]
    safe = max(told["seconds"]["offered"]) / 4
    assert (told["needed_pods"], told["max_pods"]) == (4, 12)
    words = ["--trace", recorded(tmp_path, round(40 * safe)), "--policy", "computed-rate", "--policy", "kserve-default"]
    assert simulate(runs, *words, "-o", "json") == 0
    printed = capsys.readouterr()
    found = {one["policy"]: one for one in json.loads(printed.out)}
    assert found["computed-rate"]["needed_pods"] in {40, 41}
    assert found["computed-rate"]["max_pods"] > 100
    assert "kserve-default may have 10 pods at most, and the peak of prod needs 4" in printed.err
    assert "computed-rate" not in printed.err
    assert simulate(runs, *words) == 0
    out = capsys.readouterr().out
    assert f"peak {figures.rate(round(40 * safe))}" in out
    assert "kserve-default may have 10 pods" in out


def test_a_cap_is_named_only_where_it_binds(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--trace", "step", "--trace", "burst", "--policy", "computed-rate"]
    assert simulate(runs, *words, "--max-pods", "4") == 0
    assert "at most" not in capsys.readouterr().out
    assert simulate(runs, *words, "--max-pods", "3") == 0
    assert capsys.readouterr().out.count("computed-rate may have 3 pods at most, and the peak of step-0 needs 4") == 1
    # A peak that was given is kept, and a trace above it meets the cap that follows.
    trace = recorded(tmp_path, 2000)
    assert simulate(runs, "--trace", trace, "--policy", "computed-rate", "--peak", "20/s") == 0
    out = capsys.readouterr().out
    assert "peak 20.0/s" in out
    assert "computed-rate may have 2 pods at most" in out


def test_the_computed_policies_behave_as_the_chart_does_by_default() -> None:
    values = yaml.safe_load((ROOT / "charts" / "variant" / "values.yaml").read_text())
    assert CHART_BEHAVIOR.model_dump(by_alias=True, mode="json") == {
        "scaleUp": values["autoscaling"]["behavior"]["scaleUp"],
        "scaleDown": values["autoscaling"]["behavior"]["scaleDown"],
    }


def suggest(runs: Path, *words: str) -> int:
    return run(["autoscale", "suggest", "--runs", str(runs), "--trials", "12", "--length", "3m", *words])


def test_a_suggestion_is_shown_against_the_baseline_and_says_that_it_is_simulated(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suggest(runs) == 0
    out = capsys.readouterr().out
    assert out.count("kserve-default") > 8
    assert "not verified live" in out


def test_a_suggestion_is_a_policy_that_can_be_simulated(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suggest(runs, "--metric", "rate", "-o", "yaml") == 0
    (tmp_path / "suggested.yaml").write_text(capsys.readouterr().out)
    assert load_policy(tmp_path / "suggested.yaml").metric == "rate"
    assert simulate(runs, "--trace", "ramp", "--policy", str(tmp_path / "suggested.yaml")) == 0


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_a_suggestion_that_becomes_a_file_says_what_it_is_beside_it(
    runs: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # So little load that nothing is violated, and nothing can be better.
    assert suggest(runs, "-o", form, "--peak", "1/s") == 0
    worse = capsys.readouterr()
    assert "simulated, not verified live" in worse.err
    assert "keep what you have" in worse.err
    assert "keep what you have" not in worse.out
    assert suggest(runs, "-o", form, "--metric", "rate", "--trials", "25") == 0
    better = capsys.readouterr().err
    assert "simulated, not verified live" in better
    assert "keep what you have" not in better


def test_a_suggestion_has_values_of_the_chart_where_it_takes_the_metric(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert suggest(runs, "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["verified_live"] is False
    assert found["values"]["autoscaling"]["targetUtilization"] == found["policy"]["target"]
    assert found["trials"] == 12
    assert suggest(runs, "-o", "json", "--metric", "in-flight") == 0
    assert json.loads(capsys.readouterr().out)["values"] is None


def test_only_an_hpa_can_be_beaten(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert suggest(runs, "--baseline", "knative-default") == 2
    assert "kind kpa" in capsys.readouterr().err
