import base64
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from loadtest.director import Plan, main, read_plan, summary
from loadtest.errors import PlanError
from tests.loads import TIMEOUT_NS, mixed_samples, outcome

GOOD: dict[str, Any] = {
    "url": "http://food11-predictor",
    "model": "food11",
    "protocol": "v1-image",
    "rate": 50,
    "for": "4s",
    "data": {"a.jpg": "first"},
    "binaryData": {"b.jpg": base64.b64encode(b"\xff\xd8second").decode()},
}


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "plan.json"
    path.write_text(json.dumps({key: value for key, value in (GOOD | changes).items() if value is not None}))
    return path


def test_a_plan_is_read_with_its_defaults(tmp_path: Path) -> None:
    plan = read_plan(written(tmp_path))
    assert (plan.rate, plan.seconds, plan.timeout, plan.arrivals) == (50.0, 4.0, 2.0, "poisson")
    shot = plan.shot()
    assert shot.kind == "open"
    assert shot.schedule is not None
    assert len(shot.schedule) == pytest.approx(200, abs=60)
    assert (shot.schedule == plan.shot().schedule).all()


def test_a_constant_plan_spaces_its_arrivals_evenly(tmp_path: Path) -> None:
    schedule = read_plan(written(tmp_path, arrivals="constant")).shot().schedule
    assert schedule is not None
    assert set((schedule[1:] - schedule[:-1]).tolist()) == {20_000_000}


def test_large_payloads_leave_room_for_fewer_users(tmp_path: Path) -> None:
    many = {"rate": 500, "timeout": "2s"}
    large = {"binaryData": {"b.jpg": base64.b64encode(bytes(1_700_000)).decode()}}
    small, few = (read_plan(written(tmp_path, **many, **more)).shot().users for more in ({}, large))
    assert few < small


def test_payloads_are_written_as_they_were_given(tmp_path: Path) -> None:
    payloads = read_plan(written(tmp_path)).payloads(tmp_path / "new")
    assert {path.name: path.read_bytes() for path in payloads.files} == {"a.jpg": b"first", "b.jpg": b"\xff\xd8second"}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "food11-predictor"}, "url"),
        ({"url": "http://host/v2/models"}, "url"),
        ({"rate": 0}, "rate"),
        ({"rate": True}, "rate"),
        ({"for": 60}, "for: Value error, 60 is not a duration"),
        ({"protocol": "v3"}, "protocol"),
        ({"colour": "red"}, "colour"),
        ({"data": None, "binaryData": None}, "data and binaryData are empty"),
        ({"data": {"../a.jpg": "x"}}, "is no file name"),
        ({"data": {"b.jpg": "x"}}, "stands twice"),
        ({"binaryData": {"b.jpg": "not base64!"}}, "b.jpg is not base64"),
        ({"model": None}, "model: Field required"),
    ],
)
def test_a_plan_that_cannot_be_played_is_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(PlanError) as caught:
        read_plan(written(tmp_path, **changes))
    assert told in caught.value.sentence
    assert caught.value.hint


def test_a_plan_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="cannot be read: No such file"):
        read_plan(tmp_path / "plan.json")


def test_the_summary_counts_what_became_of_every_request(tmp_path: Path) -> None:
    samples = mixed_samples()
    told = summary(read_plan(written(tmp_path)), outcome(samples))
    assert told["sent"] == int(samples.sent.sum())
    assert told["misses"] == int(samples.misses(TIMEOUT_NS).sum()) > 0
    assert told["good"] == int(samples.good.sum())
    assert sum(told["codes"].values()) == told["sent"]
    assert told["latency_ms"]["max"] == pytest.approx(samples.recorded_intended_ns(TIMEOUT_NS).max() / 1e6, abs=0.001)
    assert told["latency_ms"]["p50"] < told["latency_ms"]["p99"] <= told["latency_ms"]["max"]
    json.dumps(told)


def test_the_shape_of_the_chart_is_a_plan() -> None:
    chart = Path(__file__).parents[2] / "charts" / "loadtest"
    plan = yaml.safe_load((chart / "ci" / "alone-values.yaml").read_text())["plan"]
    assert Plan.model_validate_json(json.dumps(plan)).seconds == 60.0
    schema = json.loads((chart / "values.schema.json").read_text())["properties"]["plan"]
    assert set(schema["properties"]) == {field.alias or name for name, field in Plan.model_fields.items()}


def test_a_refused_plan_ends_before_anybody_is_waited_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.director._AWAY_S", 0.0)
    words = ["--results", "http://127.0.0.1:9", "--runners", "2", "--folder", str(tmp_path / "work")]
    assert main(["--plan", str(written(tmp_path, rate=0)), *words]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["--plan", str(written(tmp_path)), *words]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_a_plan_beyond_the_bounds_is_refused_and_one_within_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("loadtest.director._AWAY_S", 0.0)
    monkeypatch.setenv("LOADTEST_NAMESPACE", "vision")
    words = ["--plan", str(written(tmp_path)), "--results", "http://127.0.0.1:9", "--runners", "2", "--folder"]
    for bound, code, told in (("5", 2, "above the bound of 5 a second"), ("50", 1, "does not answer")):
        monkeypatch.setenv("LOADTEST_MAX_RATE", bound)
        assert main([*words, str(tmp_path / bound)]) == code
        assert told in capsys.readouterr().err
    monkeypatch.setenv("LOADTEST_NAMESPACE", "text")
    written(tmp_path, url="http://food11-predictor.vision")
    assert main([*words, str(tmp_path / "host")]) == 2
    assert "no Service of the namespace text" in capsys.readouterr().err
