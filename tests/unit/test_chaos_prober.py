"""The prober's pod: what is put on the cluster and taken away, whose clock counts, and that there is one at a time."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from podium.chaos import probe
from podium.chaos.golden import read_requests
from podium.chaos.prober import NAME, PodProber, remove_prober
from podium.chaos.spec import Faults
from podium.cluster.errors import ClusterError, ConflictError, DeadlineError
from podium.cluster.kinds import CONFIG_MAP, POD, SERVICE, Document, Kind
from tests.chaosworld import BEGAN, World, spec


class Shelf:
    """A cluster that keeps documents; its pod writes a log once it is there for a while."""

    namespace = "podium"

    def __init__(self, world: World, *, address: str = "10.0.0.7", ahead_s: float = 0.0, silent: bool = False) -> None:
        self.world = world
        self.kept: dict[tuple[Kind, str], Document] = {}
        self.ahead_s = ahead_s
        self.silent = silent
        self.lines: list[str] = []
        for name in ("pie", "tart"):
            ports = {"clusterIP": address, "ports": [{"port": 80, "targetPort": 8080}]}
            self.kept[SERVICE, f"{name}-predictor"] = {"spec": ports}

    def get(self, kind: Kind, name: str, namespace: str | None = None) -> Document | None:
        return self.kept.get((kind, name))

    def apply(self, document: Document, *, namespace: str | None = None, dry_run: bool = False) -> Document:
        key = Kind(document["apiVersion"], document["kind"]), document["metadata"]["name"]
        self.kept[key] = document
        if key == (POD, NAME):
            document["spec"]["nodeName"] = "load"
            began = json.dumps({"ready": BEGAN + self.world.time + 2.0 + self.ahead_s})
            self.world.later(2.0, lambda: None if self.silent else self.lines.append(began))
        return document

    def create(self, document: Document) -> Document:
        if (CONFIG_MAP, NAME) in self.kept:
            raise ConflictError("it is there already")
        return self.apply(document)

    def delete(self, kind: Kind, name: str, namespace: str | None = None) -> bool:
        return self.kept.pop((kind, name), None) is not None

    def wait_gone(self, kind: Kind, name: str, *, timeout_s: float, namespace: str | None = None) -> None:
        assert (kind, name) not in self.kept

    def log(self, pod: str, *, lines: int = 20) -> str:
        return "\n".join(self.lines[-lines:])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "x.json").write_text('{"instances": [[1]]}')
    return tmp_path


def prober(shelf: Shelf, folder: Path, trouble: str = "", faults: Faults | None = None) -> PodProber:
    faults = faults or spec()
    requests = read_requests(faults, folder)
    world = shelf.world
    return PodProber(
        shelf,
        world,
        faults,
        requests,
        image="loadtest@sha256:1",
        run="chaos-pie-1",
        log="/runs/faults.jsonl",
        trouble=lambda _pod: trouble,
    )


def test_what_it_needs_is_put_there_and_taken_away_without_a_trace(folder: Path) -> None:
    shelf = Shelf(World())
    before = dict(shelf.kept)
    one = prober(shelf, folder)
    assert one.start() == "load"
    config = shelf.kept[CONFIG_MAP, NAME]
    assert config["data"]["probe.py"] == Path(probe.__file__).read_text()
    plan = json.loads(config["data"]["plan.json"])
    assert [(each["name"], each["host"], each["port"]) for each in plan["targets"]] == [
        ("pie", "10.0.0.7", 80),
        ("tart", "10.0.0.7", 80),
    ]
    (golden,) = plan["targets"][1]["golden"]
    assert golden["path"] == "/v1/models/tart:predict"
    assert base64.b64decode(config["binaryData"][golden["file"]]) == b'{"instances": [[1]]}'
    spec_of_pod = shelf.kept[POD, NAME]["spec"]
    assert spec_of_pod["automountServiceAccountToken"] is False
    assert spec_of_pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    one.stop()
    assert shelf.kept == before
    one.stop()


def test_a_key_comes_from_a_secret_and_stands_in_no_document(folder: Path, tmp_path: Path) -> None:
    golden = [{"json": "x.json", "largest": 0}]
    asking = {"name": "tart", "golden": golden, "keySecret": "tart-client"}
    shelf = Shelf(World())
    prober(shelf, folder, faults=spec(services=[{"name": "pie", "golden": golden}, asking])).start()
    plan = json.loads(shelf.kept[CONFIG_MAP, NAME]["data"]["plan.json"])
    assert [each["key"] for each in plan["targets"]] == ["", "/keys/tart/key"]
    pod = shelf.kept[POD, NAME]["spec"]
    assert pod["volumes"][1:] == [{"name": "key-0", "secret": {"secretName": "tart-client"}}]
    (mount,) = pod["containers"][0]["volumeMounts"][1:]
    assert mount == {"name": "key-0", "mountPath": "/keys/tart", "readOnly": True}
    # What the program beside the plan makes of it.
    for name, body in shelf.kept[CONFIG_MAP, NAME]["binaryData"].items():
        (tmp_path / name).write_bytes(base64.b64decode(body))
    (tmp_path / "key").write_text("podium_x\n")
    plan["targets"][1]["key"] = str(tmp_path / "key")
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    targets, _, _ = probe.read_plan(tmp_path / "plan.json")
    assert [each.key for each in targets] == ["", "podium_x"]
    assert "podium_x" not in repr(targets)


def test_a_service_without_an_address_is_asked_by_its_name(folder: Path) -> None:
    shelf = Shelf(World(), address="None")
    prober(shelf, folder).start()
    plan = json.loads(shelf.kept[CONFIG_MAP, NAME]["data"]["plan.json"])
    assert (plan["targets"][0]["host"], plan["targets"][0]["port"]) == ("pie-predictor.podium.svc", 8080)
    missing = Shelf(World())
    del missing.kept[SERVICE, "tart-predictor"]
    with pytest.raises(ClusterError, match="There is no Service tart-predictor"):
        prober(missing, folder).start()


def test_two_runs_do_not_make_faults_to_each_other(folder: Path) -> None:
    shelf = Shelf(World())
    first = prober(shelf, folder)
    first.start()
    with pytest.raises(ConflictError, match="Somebody makes faults in podium already") as caught:
        prober(shelf, folder).start()
    assert caught.value.hint.endswith("podium chaos --undo /runs/faults.jsonl")
    assert (POD, NAME) in shelf.kept
    remove_prober(shelf)
    prober(shelf, folder).start()


@pytest.mark.parametrize("ahead_s", [0.0, 0.5, 3600.0, -7200.0])
def test_its_times_are_told_on_this_machines_clock(folder: Path, ahead_s: float) -> None:
    shelf = Shelf(World(), ahead_s=ahead_s)
    one = prober(shelf, folder)
    one.start()
    seen = one.read()
    assert seen.began is not None
    assert abs(seen.began - (BEGAN + 2.0)) <= 1.0


def test_one_that_does_not_come_up_says_why(folder: Path) -> None:
    shelf = Shelf(World(), silent=True)
    with pytest.raises(DeadlineError, match="last seen: its image cannot be pulled"):
        prober(shelf, folder, "its image cannot be pulled").start()
