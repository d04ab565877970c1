"""Plans of benches: which URLs, rates and objectives are taken, and what is said of the others."""

from pathlib import Path
from typing import Any

import pytest

from loadtest.errors import ProfileError, ScheduleError, SloError
from podium.benchplan import BenchPlan, plan_bench
from podium.errors import ConfigError, UsageError
from tests.loads import payloads

URL = "http://127.0.0.1:8080"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    payloads(tmp_path / "photos")
    return tmp_path / "photos"


def plan(photos: Path, url: str = URL, **options: Any) -> BenchPlan:
    chosen: dict[str, Any] = {"profile": "quick", "model": "food11", "rate": 40.0} | options
    return plan_bench(url, payloads=photos, **chosen)


@pytest.mark.parametrize(
    ("url", "options", "target"),
    [
        (URL, {}, f"{URL}/v1/models/food11:predict"),
        (f"{URL}/", {"protocol": "v2-json"}, f"{URL}/v2/models/food11/infer"),
        (f"{URL}/v1/models/mnist:predict", {"model": None}, f"{URL}/v1/models/mnist:predict"),
        ("https://host/team/v1/models/m:predict", {"model": "m"}, "https://host/team/v1/models/m:predict"),
        (f"{URL}/gateway", {}, f"{URL}/gateway/v1/models/food11:predict"),
    ],
)
def test_a_server_or_the_whole_url_of_a_model_says_where_to_send(
    photos: Path, url: str, options: dict[str, Any], target: str
) -> None:
    if "json" in str(options.get("protocol")):
        for path in photos.iterdir():
            path.write_text('{"inputs": [{"shape": [1, 4]}]}')
    assert plan(photos, url, **options).endpoint.target == target


def test_a_grpc_address_is_one_of_a_host_and_a_port(photos: Path) -> None:
    for path in photos.iterdir():
        path.write_text('{"inputs": [{"shape": [1, 4]}]}')
    found = plan(photos, "grpc://127.0.0.1:8081", profile="quick-grpc")
    assert found.endpoint.url == "http://127.0.0.1:8081"
    with pytest.raises(UsageError, match="names no port"):
        plan(photos, "grpc://127.0.0.1", profile="quick-grpc")


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("127.0.0.1:8080", {}, "is not the URL of a server"),
        ("ftp://host", {}, "is not the URL of a server"),
        ("http://host:99999", {}, "is not a URL"),
        (f"{URL}/?a=1", {}, "is not the URL of a server"),
        (URL, {"model": None}, "which model to ask"),
        (f"{URL}/v1/models/a:predict", {}, "the URL names a"),
        (f"{URL}/v2/models/a/infer", {"model": None}, "a path of V2, and the profile sends v1-image"),
        ("grpc://127.0.0.1:1", {}, "add --protocol grpc|gRPC address"),
        (URL, {"protocol": "v3"}, "is not played"),
        (URL, {"rate": None}, "holds a rate, and none is asked"),
        (URL, {"rate": -1.0}, "cannot be played"),
        (URL, {"rate": 50.0, "slo": "p99<=1s, rate>=40/s"}, "asks for 50/s and --slo for 40/s"),
        (URL, {"name": "Two Words"}, "cannot name a folder"),
        (URL, {"state": "8082"}, "is not a URL"),
    ],
)
def test_what_cannot_be_benched_is_a_usage_error(photos: Path, url: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(UsageError, match=problem) as refused:
        plan(photos, url, **options)
    assert refused.value.hint


def test_payloads_that_are_missing_or_of_another_protocol_are_refused(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of payloads"):
        plan(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScheduleError, match="no payload in"):
        plan(tmp_path / "empty")
    with pytest.raises(ScheduleError, match="is not a v2-json request"):
        plan(photos, protocol="v2-json")
    with pytest.raises(ProfileError, match="no such profile"):
        plan(photos, profile="nightly")


def test_the_asked_rate_is_judged_with_the_slo(photos: Path) -> None:
    assert str(plan(photos, slo="p99<=100ms").slo) == "p99<=100ms, rate>=40/s"
    assert plan(photos, rate=None, slo="p99<=100ms, rate>=12/s").rate == 12.0
    assert plan(photos).slo is None
    with pytest.raises(ConfigError, match="a start cannot be timed"):
        plan(photos, slo="ready<=5s")


def test_a_verdict_needs_a_hold(photos: Path, tmp_path: Path) -> None:
    text = "name: alone\nlevel: quick\ntimeout: 1s\nbudget: 1m\nconfidence: 0.95\n"
    (tmp_path / "alone.yaml").write_text(text + "phases: [{kind: single-stream, requests: 5}]\n")
    assert plan(photos, profile=str(tmp_path / "alone.yaml"), rate=None).rate is None
    with pytest.raises(ConfigError, match="has no hold"):
        plan(photos, profile=str(tmp_path / "alone.yaml"), slo="p99<=1s")


@pytest.mark.parametrize("phase", ["{kind: hold, blocks: 5, block: 10s}", "{kind: search, precision: 10%, probe: 5s}"])
def test_an_slo_that_limits_nothing_at_its_rate_is_refused_where_it_is_judged(
    photos: Path, tmp_path: Path, phase: str
) -> None:
    text = f"name: own\nlevel: quick\ntimeout: 1s\nbudget: 1m\nconfidence: 0.95\nphases: [{phase}]\n"
    (tmp_path / "own.yaml").write_text(text)
    own = str(tmp_path / "own.yaml")
    with pytest.raises(ConfigError, match="says no latency and no error share") as refused:
        plan(photos, profile=own, rate=None, slo="rate>=40/s")
    assert "p99<=100ms" in refused.value.hint
    assert plan(photos, profile=own, rate=None, slo="errors<=1%, rate>=40/s").slo is not None


def test_an_slo_that_the_profile_can_never_prove_is_refused_as_in_a_race(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(SloError, match="no number of requests proves"):
        plan(photos, slo="p99<=100ms, errors<=0%")
    with pytest.raises(SloError, match="requests without a miss support it"):
        plan(photos, slo="p99.9<=100ms", rate=2.0)
    text = "name: own\nlevel: quick\ntimeout: 1s\nbudget: 1m\nconfidence: 0.95\n"
    (tmp_path / "own.yaml").write_text(text + "phases: [{kind: hold, blocks: 2, block: 10s}]\n")
    own = str(tmp_path / "own.yaml")
    assert plan(photos, profile=own, slo="p99<=100ms").labels[0].startswith("no PASS can come of profile own")
    assert not [one for one in plan(photos, profile=own).labels if "no PASS" in one]


def test_two_benches_that_ask_the_same_have_one_schedule(photos: Path) -> None:
    assert plan(photos).seed == plan(photos, URL.replace("8080", "9090"), name="other").seed
    assert plan(photos).seed != plan(photos, rate=41.0).seed
    assert plan(photos, seed=7).seed == 7


def test_labels_say_what_a_bench_cannot_prove(photos: Path) -> None:
    labels = plan(photos, profile="standard").labels
    assert [text.split(":")[0] for text in labels] == [
        "one server all along",
        "no search for the largest rate",
        "the server's own state was not asked for (--state)",
    ]
    whole = plan(photos, slo="p99<=1s", state="http://127.0.0.1:8082")
    assert whole.labels == ()
    assert whole.endpoint.state_url == "http://127.0.0.1:8082/debug/state"
    assert plan(photos, state="http://h/x").endpoint.state_url == "http://h/x"
