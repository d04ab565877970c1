"""Files of faults: what they may say, and every refusal with its place and its remedy."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from podium.chaos.campaign import wish_of
from podium.chaos.golden import digests, read_requests
from podium.chaos.spec import Faults, FaultsError, load_faults

GOLDEN = "{json: one.json, label: cheese}"
HEAD = f"name: pie\nservices:\n  - name: pie\n    golden: [{GOLDEN}]\n"
REST = "rounds: 2\nfaults: [{kind: pod-kill}]\n"
GOOD = HEAD + REST


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.json").write_text('{"instances": [[1, 2]]}')
    (tmp_path / "two.json").write_text('{"inputs": []}')
    (tmp_path / "seven.png").write_bytes(b"an image")
    return tmp_path


def written(folder: Path, text: str) -> Path:
    path = folder / "faults.yaml"
    path.write_text(text)
    return path


def test_defaults_and_durations_are_read_and_written_back(folder: Path) -> None:
    spec = load_faults(written(folder, HEAD + "for: 30m\npause: 1m30s\nfaults: [{kind: drain, for: 90s, weight: 2}]\n"))
    assert (spec.for_s, spec.pause_s, spec.grace_s, spec.recovery_s) == (1800, 90, 5, 120)
    assert (spec.probe.rate, spec.probe.timeout_s, spec.faults[0].weight) == (20, 2, 2)
    kept = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert Faults.model_validate(json.loads(json.dumps(kept))) == spec


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        (HEAD + "faults: [{kind: pod-kill}]\n", "", "either rounds or for"),
        (GOOD + "for: 3m\n", "", "either rounds or for"),
        (GOOD + "round: 3\n", ":7", "unknown key 'round'"),
        (HEAD + "rounds: 0\nfaults: [{kind: pod-kill}]\n", ":5", "rounds"),
        (HEAD + "rounds: 1\nfaults: []\n", ":6", "at least 1"),
        (HEAD + "rounds: 1\nfaults: [{kind: pod-explode}]\n", ":6", "pod-explode"),
        (HEAD + "rounds: 1\nfaults: [{kind: pod-kill, for: 3s}]\n", ":6", "unknown key 'for'"),
        (HEAD + "rounds: 1\nfaults: [{kind: drain, for: 3}]\n", ":6", "is not a duration"),
        (HEAD + "rounds: 1\nfaults: [{kind: network, loss: 0}]\n", ":6", "greater than 0"),
        (HEAD + "rounds: 1\nfaults: [{kind: network, loss: 0.1, delay: 1s}]\n", ":6", "loss and delay are two faults"),
        (HEAD + "rounds: 1\nfaults: [{kind: dns-down, deployment: coredns}]\n", ":6", "pattern"),
        (GOOD.replace("- name: pie", "- name: Pie"), ":3", "pattern"),
        (GOOD.replace("label: cheese", "label: cheese, largest: 2"), ":4", "either label or largest"),
        (GOOD.replace("json: one.json, ", ""), ":4", "either image or json"),
        (GOOD.replace("  - name: pie", f"  - name: pie\n    golden: [{GOLDEN}]\n  - name: pie"), "", "pie twice"),
        (GOOD + "probe: {rate: 100, timeout: 10s}\n", ":7", "more than 256 requests waiting"),
        (GOOD + "pause: 2 minutes\n", ":7", "2 minutes"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(folder: Path, text: str, place: str, said: str) -> None:
    path = written(folder, text)
    with pytest.raises(FaultsError) as caught:
        load_faults(path)
    assert str(caught.value).startswith(f"{path}{place}:")
    assert said in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("golden", "said"),
    [
        ("{json: none.json, label: a}", "cannot be read: No such file"),
        ("{json: seven.png, label: a}", "is no JSON"),
        ("{json: two.json, label: a}", "a V2 request, whose answer has no label"),
        ("{json: list.json, label: a}", "neither instances"),
        ("{image: empty.png, label: a}", "is empty"),
        ("{image: large.png, label: a}", "is too large"),
    ],
)
def test_a_golden_request_that_cannot_be_sent_is_named_with_its_line(folder: Path, golden: str, said: str) -> None:
    (folder / "list.json").write_text("[]")
    (folder / "empty.png").write_bytes(b"")
    (folder / "large.png").write_bytes(bytes(800_000))
    path = written(folder, GOOD.replace(GOLDEN, golden))
    with pytest.raises(FaultsError) as caught:
        wish_of(path, seed=None)
    assert str(caught.value).startswith(f"{path}:4: ")
    assert said in str(caught.value)
    assert caught.value.hint


def test_golden_requests_too_large_together_are_refused(folder: Path) -> None:
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(bytes(400_000))
    both = "{image: a.png, label: a}, {image: b.png, label: b}"
    with pytest.raises(FaultsError, match="800,000 bytes") as caught:
        wish_of(written(folder, GOOD.replace(GOLDEN, both)), seed=None)
    assert caught.value.hint


def test_each_kind_of_request_has_its_route(folder: Path) -> None:
    three = "{json: one.json, label: a}, {json: two.json, largest: 2}, {image: seven.png, label: '7'}"
    asked = wish_of(written(folder, GOOD.replace(GOLDEN, three)), seed=9)
    assert asked.spec.seed == 9
    (requests,) = asked.requests.values()
    assert [(one.path, one.kind) for one in requests] == [
        ("/v1/models/{model}:predict", "application/json"),
        ("/v2/models/{model}/infer", "application/json"),
        ("/v1/models/{model}:predict", "image/png"),
    ]
    again = digests(read_requests(asked.spec, folder))
    assert again == digests(asked.requests)
    (folder / "seven.png").write_bytes(b"another image")
    assert digests(read_requests(asked.spec, folder)) != again
