"""Candidates of a race: what their manifests say of the provider, of quantized operators, and of each other's files."""

from pathlib import Path

import pytest
import yaml

from podium.candidates import candidates, planned
from podium.nodeclass import load_node_class
from predictors.manifest import MANIFEST, Variant, read_variant
from tests.artifacts import image_artifact, vector_artifact

pytestmark = pytest.mark.unit


def changed(folder: Path, **changes: object) -> Path:
    """Write other values into the manifest of an artifact, as another recipe would have."""
    path = folder / MANIFEST
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))
    return folder


def of_precision(folder: Path, precision: str, ops: dict[str, int]) -> Variant:
    return read_variant(changed(folder, precision=precision, ops={"before": {}, "after": ops}))


def test_a_candidate_is_held_against_its_manifest(tmp_path: Path) -> None:
    folder = image_artifact(tmp_path / "one")
    (found,) = candidates({folder: "ad" * 32}, load_node_class("local"))
    variant = read_variant(folder)
    assert variant.preprocessing is not None
    assert (found.variant_id, found.node_class, found.address, found.folder) == (variant.id, "local", "ad" * 32, folder)
    assert found.preprocessing_hash == variant.preprocessing.hash
    assert (found.planned.provider, found.planned.quantized) == (variant.runtime.provider, None)
    assert found.planned.unlike == {}


def test_the_providers_beside_its_own_are_those_that_a_manifest_names(tmp_path: Path) -> None:
    variant = read_variant(vector_artifact(tmp_path / "one"))
    assert planned(variant).beside == frozenset()
    for said, beside in ((["CPUExecutionProvider"], {"CPUExecutionProvider"}), ("CPUExecutionProvider", set())):
        runtime = variant.runtime.model_copy(update={"options": {"beside": said}})
        assert planned(variant.model_copy(update={"runtime": runtime})).beside == beside


@pytest.mark.parametrize(
    ("precision", "ops", "quantized"),
    [
        ("int8", {"QLinearConv": 3, "QuantizeLinear": 1, "Relu": 2}, 4),
        ("int8", {"ConvInteger": 2, "FakeQuantize": 5}, 7),
        ("int8", {"Conv": 3}, 0),
        ("int8", {}, None),
        ("fp32", {"Conv": 3}, None),
    ],
)
def test_operators_of_8_bits_are_counted_in_an_int8_graph(
    tmp_path: Path, precision: str, ops: dict[str, int], quantized: int | None
) -> None:
    assert planned(of_precision(vector_artifact(tmp_path / "one"), precision, ops)).quantized == quantized


def test_an_int8_artifact_must_differ_from_the_fp32_ones_of_its_engine(tmp_path: Path) -> None:
    plain = vector_artifact(tmp_path / "plain", name="plain")
    small = changed(vector_artifact(tmp_path / "small", name="small", work=1), precision="int8")
    copy = changed(vector_artifact(tmp_path / "copy", name="copy"), precision="int8")
    found = {one.folder.name: one for one in candidates({plain: "a", small: "b", copy: "c"}, load_node_class("local"))}
    name = read_variant(plain).id
    assert found["plain"].planned.unlike == {}
    assert found["small"].planned.unlike == {name: found["plain"].planned.file_digest}
    assert found["small"].planned.file_digest != found["plain"].planned.file_digest
    # The same file under another name of precision.
    assert found["copy"].planned.file_digest == found["plain"].planned.file_digest
