"""What this machine refuses is said at once: one sentence, a remedy, nothing started and nothing made.

That the same races begin where nothing is in the way is what the other files show.
"""

import shlex
import socket
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.contract.race.racing import PORTS, RACE_S, SHORT, STEP_S, Ended, Place, Workshop
from tests.eventually import eventually
from tests.ports import free_ports

pytestmark = pytest.mark.timeout(RACE_S)
VARIANTS = "ort-fp32, ort-int8"
IN_A_NAMESPACE = ("unshare", "--map-root-user", "--mount")


def assert_refused(ended: Ended, *words: str) -> None:
    first, *others = ended.err.splitlines()
    assert ended.code == 4, ended.err
    assert ended.out == ""
    assert first.startswith("error: ")
    for word in words:
        assert word in ended.err
    assert others, "there is no remedy"
    assert all(line.startswith("  → ") for line in others)


@pytest.mark.parametrize("offset", [0, 3])
def test_a_port_in_use_is_named_before_anything_starts(workshop: Workshop, tmp_path: Path, offset: int) -> None:
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS, store=tmp_path / "store")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", place.port + offset))
        taken.listen()
        ended = place.run(place.race_words())
    assert_refused(ended, f"Port {place.port + offset} ", f"--port {place.port + 100}")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_generator_is_named_before_anything_starts(
    workshop: Workshop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS, store=tmp_path / "store")
    monkeypatch.setenv("PODIUM_VEGETA", str(tmp_path / "none"))
    assert_refused(place.run(place.race_words()), "vegeta", "./scripts/build-k6")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("part", ["runs", "store"])
def test_a_full_disk_is_named_before_anything_starts(workshop: Workshop, tmp_path: Path, part: str) -> None:
    if subprocess.run([*IN_A_NAMESPACE, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting in a namespace of one's own is not permitted here")
    small, roomy = tmp_path / "small", tmp_path / "roomy"
    small.mkdir()
    roomy.mkdir()
    place = Place(
        workshop.place(tmp_path, profile=SHORT, variants=VARIANTS).submission,
        runs=(small if part == "runs" else roomy) / "runs",
        store=(small if part == "store" else roomy) / "store",
        data=workshop.root / "data",
    )
    # Who looks from outside does not see the mount: the program's own namespace lists what is there.
    script = (
        f"mount -t tmpfs -o size=1m none {shlex.quote(str(small))} && {shlex.join(place.race_words())}; code=$?; "
        f"find {shlex.quote(str(small))} -mindepth 1; exit $code"
    )
    assert_refused(place.run([*IN_A_NAMESPACE, "sh", "-c", script]), str(small), "MiB free", "free some space")
    assert list(roomy.iterdir()) == []


def test_the_same_race_does_not_run_twice(workshop: Workshop, tmp_path: Path) -> None:
    place = workshop.place(tmp_path, profile=SHORT, variants=VARIANTS)
    with place.started():
        eventually(lambda: any(place.runs.glob("*/plan.json")), STEP_S)
        second = replace(place, mark="second", port=free_ports(PORTS))
        assert_refused(second.run(second.race_words()), f"{place.folder.name} is running already", "--new")
        assert place.processes()
