"""What `podium race --apply` does on the real cluster with what came out of races, under a probe that keeps asking.

One winner after the other serves under the same name, the service tells why, and a race without a winner changes
nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podium.cluster.access import Access
from podium.cluster.errors import ClusterError
from podium.entry import Entry, EntryKey, Status
from podium.nodeclass import load_node_class
from podium.plan import RacePlan
from podium.racefile import Budget, Race
from podium.raceplace import ClusterPlace
from predictors.manifest import address_of, read_variant
from predictors.store import StoredVariant
from tests.artifacts import vector_artifact
from tests.cluster.conftest import ALLOWED, STANDARD, Kubectl
from tests.cluster.probing import Seen, probing
from tests.cluster.stock import stocked
from tests.eventually import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]

NAME = "pie"
PATIENCE_S = 30.0


@pytest.fixture
def store(namespace: Kubectl, tmp_path: Path) -> Iterator[Path]:
    """Make a store of two artifacts that the cluster's nodes see, and the namespace's claim of it."""
    made = {name: vector_artifact(tmp_path / name, name=name) for name in ("tiny", "small")}
    with stocked(namespace, {f"{name}/{address_of(folder)}": folder for name, folder in made.items()}) as root:
        yield root


@pytest.fixture
def place(namespace: Kubectl) -> Iterator[ClusterPlace]:
    found = ClusterPlace.at(Access(STANDARD, ALLOWED[0], namespace.namespace), runners=1)
    yield found
    found.cluster.close()


def stored(store: Path, model: str) -> StoredVariant:
    (folder,) = (store / model).iterdir()
    return StoredVariant(read_variant(folder).id, folder.name, folder)


def race(number: int, variant: StoredVariant, status: Status) -> Race:
    """Return what a race of one variant came to."""
    entry = Entry(
        id=variant.id,
        node_class="epyc",
        address=variant.address,
        status=status,
        rank=1 if status == "PASS" else None,
    )
    return Race(
        race_id=f"{NAME}-20261121-1000{number:02}-00000{number}",
        model=variant.folder.parent.name,
        target="cluster",
        level="quick",
        slo="p99<=100ms, rate>=40/s",
        winner=EntryKey(variant=variant.id, node_class="epyc") if status == "PASS" else None,
        fingerprints={},
        budget=Budget(planned_s=60, spent_s=50),
        cost=None,
        events=(),
        variants=(entry,),
    )


def apply(place: ClusterPlace, store: Path, result: Race) -> list[str]:
    said: list[str] = []
    plan = SimpleNamespace(
        submission=SimpleNamespace(name=NAME), classes=(load_node_class("epyc", "kind"),), store=store
    )
    place.apply(cast("RacePlan", plan), Path("runs") / result.race_id, result, said.append)
    return said


def verdict(namespace: Kubectl) -> Mapping[str, str]:
    """Return what the service says of itself, without our prefix."""
    found: dict[str, str] = namespace.get("isvc", NAME)["metadata"]["annotations"]
    return {key.removeprefix("podium.dev/"): text for key, text in found.items() if key.startswith("podium.dev/")}


def events(namespace: Kubectl) -> list[dict[str, Any]]:
    fields = f"involvedObject.name={NAME},involvedObject.kind=InferenceService"
    listed: list[dict[str, Any]] = namespace.get("events", "--field-selector", fields)["items"]
    return [event for event in listed if event["source"].get("component") == "podium"]


def pods(namespace: Kubectl) -> list[str]:
    listed = namespace.get("pods", "-l", f"serving.kserve.io/inferenceservice={NAME}")["items"]
    return [one["metadata"]["name"] for one in listed if "deletionTimestamp" not in one["metadata"]]


def test_winners_follow_each_other_without_a_lost_request_and_say_why(
    namespace: Kubectl, place: ClusterPlace, store: Path
) -> None:
    first, second = stored(store, "tiny"), stored(store, "small")
    said = apply(place, store, race(1, first, "PASS"))
    assert said[-1].startswith("pie: tiny-ort-fp32 on epyc serves at http")
    told = verdict(namespace)
    assert (told["winner"], told["variant"], told["address"]) == (first.id, first.id, first.address)
    assert (told["verdict"], told["race"]) == ("PASS p99<=100ms, rate>=40/s", "pie-20261121-100001-000001")
    assert (told["reason"], told["report"]) == (
        "alone holds p99<=100ms, rate>=40/s",
        "pie-20261121-100001-000001/report.html",
    )
    since = told["since"]
    with probing(namespace, NAME) as probe:
        # The incumbent wins again: another verdict, the same pod, and it has served all the while.
        pod = pods(namespace)
        apply(place, store, race(2, first, "PASS"))
        told = verdict(namespace)
        assert (told["race"][-1], told["since"], pods(namespace)) == ("2", since, pod)
        for number, status in ((3, "INCONCLUSIVE"), (4, "FAIL")):
            said = apply(place, store, race(number, second, cast("Status", status)))
            assert said == ["pie is left as it is: no variant won"]
        assert (verdict(namespace), pods(namespace)) == (told, pod)
        apply(place, store, race(5, second, "PASS"))
        told = verdict(namespace)
        assert (told["winner"], told["address"]) == (second.id, second.address)
        assert told["since"] >= since
        assert pods(namespace) != pod
        eventually(lambda: second.address[:12] in Seen.read(namespace, probe).answers, PATIENCE_S)
        seen = Seen.read(namespace, probe)
    assert (seen.failed, seen.last) == (0, "")
    assert seen.sent > 100
    assert set(seen.answers) == {first.address[:12], second.address[:12]}
    assert sorted(event["reason"] for event in events(namespace)) == ["RaceUndecided"] * 2 + ["RaceWon"] * 3
    latest = max(events(namespace), key=lambda event: str(event["message"]))
    assert latest["message"].startswith("race pie-20261121-100005-000005 (quick): small-ort-fp32 on epyc serves: alone")


def test_a_winner_that_cannot_serve_leaves_what_serves_and_says_so(
    namespace: Kubectl, place: ClusterPlace, store: Path
) -> None:
    first, second = stored(store, "tiny"), stored(store, "small")
    apply(place, store, race(1, first, "PASS"))
    told, pod = verdict(namespace), pods(namespace)
    content = bytearray((second.folder / "model.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (second.folder / "model.onnx").write_bytes(content)
    with probing(namespace, NAME) as probe:
        with pytest.raises(ClusterError, match="pie cannot become ready"):
            apply(place, store, race(2, second, "PASS"))
        seen = Seen.read(namespace, probe)
    assert (seen.failed, seen.last, set(seen.answers)) == (0, "", {first.address[:12]})
    assert verdict(namespace) == told
    eventually(lambda: pods(namespace) == pod, PATIENCE_S)
    assert [event["type"] for event in events(namespace) if event["reason"] == "RaceNotApplied"] == ["Warning"]
