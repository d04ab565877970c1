"""What is asked: from the words of the command line to the order of the runs, and what is refused at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from podium.errors import ConfigError, PodiumError, UsageError
from podium.scoring.question import Asked, Question, ask
from predictors.manifest import address_of
from tests.artifacts import vector_artifact

pytestmark = pytest.mark.unit

PROFILE: dict[str, Any] = {
    "name": "tiny-step",
    "level": "quick",
    "protocol": "v2-json",
    "timeout": "1s",
    "budget": "1m",
    "phases": [{"kind": "warmup", "until": "settled", "atLeast": 5, "atMost": "1s"}],
    "stages": [{"rate": "25%", "for": "2s"}, {"rate": "100%", "for": "3s"}],
    "confidence": 0.95,
}
STEADY = {**PROFILE, "stages": [], "phases": [{"kind": "offline", "for": "1s"}]}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    artifact = vector_artifact(folder / "tiny" / "draft")
    artifact.rename(artifact.with_name(address_of(artifact)))
    return folder


def asking(tmp_path: Path, store: Path, *, profile: dict[str, Any] | None = None, **changes: Any) -> Question:
    (tmp_path / "profile.yaml").write_text(yaml.safe_dump(PROFILE if profile is None else profile))
    told: dict[str, Any] = {
        "profile": str(tmp_path / "profile.yaml"),
        "policies": ["kserve-default", "knative-default"],
        "race": "latest",
        "runs": tmp_path / "runs",
        "store": store,
        "variant": "tiny-ort-fp32",
        "node_class": "epyc",
        "slo": "p99<=250ms, rate>=5/s",
        "safe_rate": 8.0,
    }
    return ask(Asked(**{**told, **changes}), site="", folder=tmp_path / "payloads")


def test_runs_take_turns_on_the_same_arrivals(tmp_path: Path, store: Path) -> None:
    question = asking(tmp_path, store, repeats=3)
    order = [(turn.played, turn.repeat, turn.policy.name) for turn in question.turns()]
    assert [name.partition("-")[0] for _, _, name in order] == [
        "kserve",
        "knative",
        "knative",
        "kserve",
        "kserve",
        "knative",
    ]
    assert [played for played, _, _ in order] == [1, 2, 3, 4, 5, 6]
    assert [repeat for _, repeat, _ in order] == [1, 1, 2, 2, 3, 3]
    assert np.array_equal(question.schedule(1), question.schedule(1))
    assert not np.array_equal(question.schedule(1), question.schedule(2))
    # Without --rate the load is what four pods hold.
    assert question.subject.rate == 32.0
    assert question.rates(question.schedule(1)).tolist() == [8.0, 8.0, 32.0, 32.0, 32.0]
    # A clause on the rate counts no requests, and is not of the objective here.
    assert question.subject.slo == "p99<=250ms"


def test_the_same_question_has_the_same_name_and_more_repeats_are_no_other_one(tmp_path: Path, store: Path) -> None:
    first = asking(tmp_path, store)
    assert asking(tmp_path, store, repeats=9).digest == first.digest
    others = [
        asking(tmp_path, store, slo="p99<=300ms"),
        asking(tmp_path, store, safe_rate=9.0, rate=32.0),
        asking(tmp_path, store, policies=["kserve-default"]),
        asking(tmp_path, store, cpu="200m"),
        asking(tmp_path, store, seed=1),
    ]
    assert len({first.digest, *(one.digest for one in others)}) == 6


def test_a_smaller_pod_costs_less_and_holds_what_was_said_of_it(tmp_path: Path, store: Path) -> None:
    whole, small = asking(tmp_path, store), asking(tmp_path, store, cpu="200m", memory="256Mi")
    assert small.subject.resources == {"cpu": "200m", "memory": "256Mi"}
    assert small.node_class.cpu_share == pytest.approx(0.2)
    assert small.subject.safe_rate == whole.subject.safe_rate == 8.0
    assert small.subject.pod_hour is not None
    assert whole.subject.pod_hour is not None
    assert small.subject.pod_hour.value < whole.subject.pod_hour.value


def test_a_race_says_what_nobody_else_does(tmp_path: Path, store: Path, finished: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "latest").symlink_to(finished)
    asked = Asked(
        profile="step",
        policies=["kserve-default", "computed-cpu"],
        race="latest",
        runs=tmp_path / "runs",
        store=store,
        cpu="500m",
    )
    # The race's winner is not in this store, which is told before anything else is done.
    with pytest.raises(Exception, match="there is no variant food11"):
        ask(asked, site="", folder=tmp_path / "payloads")


def test_a_trace_is_another_load_when_its_file_changes(tmp_path: Path, store: Path) -> None:
    profile = {name: value for name, value in PROFILE.items() if name != "stages"} | {"trace": "arrivals.txt"}
    found = []
    for gap in (0.1, 0.2):
        (tmp_path / "arrivals.txt").write_text("\n".join(f"{number * gap:.3f}" for number in range(40)))
        question = asking(tmp_path, store, profile=profile)
        found.append((question.digest, question.rates(question.schedule(1)).max()))
        assert question.subject.rate is None
    assert found[0][0] != found[1][0]
    assert found[0][1] == pytest.approx(10, rel=0.2)
    assert found[1][1] == pytest.approx(5, rel=0.2)


@pytest.mark.parametrize(
    ("changes", "kind", "said"),
    [
        ({"profile": STEADY}, 2, "has a steady rate, and nothing would scale"),
        ({"profile": {**PROFILE, "protocol": "grpc"}}, 2, "whose channels stay with the pods"),
        ({"slo": "rate>=5/s"}, 3, "has no clause that counts requests"),
        ({"cpu": "900"}, 2, "--cpu 900 is not above 0 and at most"),
        ({"policies": ["kserve-default", "kserve-default"]}, 2, "two policies are called kserve-default"),
        ({"policies": ["kserve-defalt"]}, 3, "did you mean kserve-default"),
        ({"policies": ["computed-cpu"]}, 2, "follows from a race, and none was read"),
        ({"slo": None}, 3, "no race"),
        ({"node_class": "epic"}, 3, "epyc"),
        ({"policies": ["index.yaml"]}, 2, "a policy is called index"),
    ],
)
def test_what_cannot_be_played_is_refused_at_once(
    tmp_path: Path, store: Path, changes: dict[str, Any], kind: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "index.yaml").write_text("{name: index, kind: hpa, target: 50}")
    with pytest.raises(PodiumError) as raised:
        asking(tmp_path, store, **changes)
    assert isinstance(raised.value, UsageError if kind == 2 else ConfigError)
    assert said in f"{raised.value} {raised.value.hint}"


def test_requests_may_be_anybodys(tmp_path: Path, store: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.json").write_text(
        '{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0, 1, 2, 3]}]}'
    )
    profile = {**PROFILE, "payload": {"dir": ".", "mix": [{"glob": "*.json", "share": 1.0}], "seed": 7}}
    own = asking(tmp_path, store, profile=profile, payloads=tmp_path / "mine")
    assert [path.name for path in own.payloads.files] == ["one.json"]
    golden = asking(tmp_path, store, profile={**PROFILE, "protocol": "v1-image"})
    # Nobody has the image of a golden input, so its tensors are sent.
    assert golden.profile.protocol == golden.subject.protocol == "v2-binary"
