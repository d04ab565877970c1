"""The one change of each cause: made to how the variant was served, or not this machine's to make, in one sentence."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from podium.change import Change, Elsewhere, change_for
from podium.serving import Serving
from podium.signals import Sidecar
from podium.slowness import Finding, Symptoms
from predictors.manifest import read_variant, write_variant
from predictors.store import Store
from tests.artifacts import vector_artifact

SEEN = Symptoms("tiny-ort-int8", cpus=1.0, providers=("XProvider", "CPUExecutionProvider"))


def planted(store: Store, folder: Path, variant: str, **changes: Any) -> Serving:
    """Put a variant of the vector model into the store, and return how it is served."""
    made = vector_artifact(folder / variant)
    known = read_variant(made)
    (made / "variant.yaml").unlink()
    write_variant(made, known.model_copy(update={"id": variant, **changes}))
    stored = store.put(made)
    return Serving(stored.folder, stored.address, "tiny", None, "v2-binary")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def was(store: Store, tmp_path: Path) -> Serving:
    ops = read_variant(vector_artifact(tmp_path / "plain")).ops
    unfused = ops.model_copy(update={"after": {"ConvInteger": 3}})
    return planted(store, tmp_path, "tiny-ort-int8", precision="int8", ops=unfused)


def changed(number: int, was: Serving, store: Store, seen: Symptoms = SEEN, *, cores: int = 1) -> Change | Elsewhere:
    finding = Finding(number, "a check", "cause", "it is slow", "change something")
    return change_for(finding, seen, was, cores=cores, store=store)


CHANGES: list[tuple[int, dict[str, Any], dict[str, Any], str]] = [
    (4, {"cpus": 4.0}, {"cpus": 1.0}, "podium serve --cpus 1"),
    (5, {"quota": 0.4}, {"quota": None}, "1 whole CPU, and as many threads"),
    (7, {"protocol": "v2-json"}, {"protocol": "v2-binary"}, "V2 binary tensors"),
    (9, {"max_delay_s": 0.02}, {"max_delay_s": 0.0}, "podium serve --max-delay 0s"),
    (10, {"warm": "none"}, {"warm": "every"}, "podium serve --warm every"),
]


@pytest.mark.parametrize(("number", "before", "after", "words"), CHANGES)
def test_a_change_changes_one_thing(
    number: int, before: dict[str, Any], after: dict[str, Any], words: str, was: Serving, store: Store
) -> None:
    slow = replace(was, **before)
    found = changed(number, slow, store)
    assert isinstance(found, Change)
    assert (found.words, found.before, found.after) == (words, slow, replace(slow, **after))
    assert found.is_fresh == (number == 10)
    assert bool(found.under_test) == (number == 7)


def test_a_quota_becomes_the_whole_cores_that_hold_it(was: Serving, store: Store) -> None:
    found = changed(5, replace(was, quota=1.5, cores=4, cpus=4.0), store, cores=4)
    assert isinstance(found, Change)
    assert (found.after.quota, found.after.cores, found.after.threads) == (None, 2, 2)
    assert found.words == "2 whole CPUs, and as many threads"


@pytest.mark.parametrize("number", [1, 2])
def test_the_unquantized_variant_of_the_same_model_is_served(
    number: int, was: Serving, store: Store, tmp_path: Path
) -> None:
    plain = planted(store, tmp_path, "tiny-ort-fp32")
    found = changed(number, was, store)
    assert isinstance(found, Change)
    assert found.words == "podium serve tiny-ort-fp32"
    assert found.after == replace(was, folder=plain.folder, address=plain.address)


def test_a_variant_of_equal_precision_without_the_cause_comes_first(was: Serving, store: Store, tmp_path: Path) -> None:
    planted(store, tmp_path, "tiny-ort-fp32")
    static = planted(store, tmp_path, "tiny-ort-int8-static", precision="int8")
    found = changed(2, was, store)
    assert isinstance(found, Change)
    assert found.after.address == static.address


def test_a_variant_for_the_provider_that_ran_it_is_served(was: Serving, store: Store, tmp_path: Path) -> None:
    mine = read_variant(was.folder).runtime
    wished = planted(
        store, tmp_path, "tiny-x", precision="int8", runtime=mine.model_copy(update={"provider": "XProvider"})
    )
    assert isinstance(changed(3, wished, store), Elsewhere)
    declared = planted(store, tmp_path, "tiny-cpu", precision="int8")
    found = changed(3, wished, store)
    assert isinstance(found, Change)
    assert found.after.address == declared.address


@pytest.mark.parametrize(
    ("number", "fields", "told"),
    [
        (1, {}, "the store holds no variant of the model without this cause: podium build"),
        (3, {}, "without this cause: change something"),
        (5, {}, "the quota that it was throttled by is not on record"),
        (6, {}, "queue-proxy is none of this machine's to start"),
        (8, {}, "processes are bound to a socket where they are deployed"),
        (4, {"cores": 3, "cpus": 8.0}, "it takes 3 cores for the server, and this machine has 1 beside the load"),
    ],
)
def test_what_cannot_be_changed_here_is_said_in_a_sentence(
    number: int, fields: dict[str, Any], told: str, was: Serving, store: Store
) -> None:
    found = changed(number, replace(was, **fields), store, replace(SEEN, sidecars=(Sidecar("queue-proxy"),)))
    assert isinstance(found, Elsewhere)
    assert told in found.sentence


def test_a_variant_of_another_source_is_no_remedy(was: Serving, store: Store, tmp_path: Path) -> None:
    source = read_variant(was.folder).model.model_copy(update={"source_digest": "1" * 64})
    planted(store, tmp_path, "tiny-ort-fp32", model=source)
    assert isinstance(changed(1, was, store), Elsewhere)


def test_a_damaged_artifact_stands_in_nobodys_way(was: Serving, store: Store, tmp_path: Path) -> None:
    plain = planted(store, tmp_path, "tiny-ort-fp32")
    broken = planted(store, tmp_path, "tiny-ort-fp16", precision="fp16")
    (broken.folder / "variant.yaml").write_text("nothing: here\n")
    found = changed(1, was, store)
    assert isinstance(found, Change)
    assert found.after.address == plain.address
    assert isinstance(changed(1, broken, store), Elsewhere)
