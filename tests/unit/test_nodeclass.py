from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import NodeClassError
from podium.nodeclass import NodeClass, load_node_class, node_class_names, read_node_class

LOCAL = """\
name: mine
selector: []
resources:
  requests: {cpu: "1", memory: 2Gi}
  limits: {cpu: "1", memory: 2Gi}
runtimes: [ort]
price: {perHour: 0.8, currency: EUR, allocatable: {cpu: "4", memory: 4Gi}}
"""


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    text = LOCAL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def test_the_shipped_classes_are_those_of_the_contract() -> None:
    assert node_class_names() == ("a100", "epyc", "local")
    for name in node_class_names():
        assert load_node_class(name).name == name


def test_an_unknown_class_suggests_the_nearest() -> None:
    with pytest.raises(NodeClassError, match="epic: there is no node class") as refused:
        load_node_class("epic")
    assert refused.value.hint == "did you mean epyc?"


def test_the_local_class_gives_a_server_one_core_and_leaves_one() -> None:
    local = load_node_class("local")
    assert local.cpu_share == 1.0
    assert local.price.allocatable["cpu"] == "2"


def test_the_share_of_a_node_is_the_largest_of_its_shares(tmp_path: Path) -> None:
    found = read_node_class(written(tmp_path))
    assert found.node_share == 0.5
    assert found.cost_per_hour() == pytest.approx(0.4)
    gpu = load_node_class("a100")
    assert gpu.node_share == 1.0


def test_cost_per_million_is_that_of_the_method_page(tmp_path: Path) -> None:
    path = written(tmp_path, ("0.8", "1.00"), ('cpu: "4"', 'cpu: "8"'), ("memory: 4Gi", "memory: 8Gi"))
    assert read_node_class(path).cost_per_million(100) == pytest.approx(0.694, abs=0.001)


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_nothing_served_has_no_price(tmp_path: Path, rate: float) -> None:
    with pytest.raises(ValueError, match="above zero"):
        read_node_class(written(tmp_path)).cost_per_million(rate)


@given(st.floats(0.01, 1e4), st.floats(1.01, 10))
def test_a_higher_rate_costs_less_a_request(rate: float, factor: float) -> None:
    local = load_node_class("local")
    assert local.cost_per_million(rate * factor) < local.cost_per_million(rate)


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        ("runtimes: [ort]", "runtimes: [onnx]", ":6: runtimes.0 is 'onnx', and input should be"),
        ("runtimes: [ort]", "runtimes: []", ":6: runtimes is []"),
        ("runtimes: [ort]", "cpu_features: [avx2]\nruntimes: [ort]", ":6: unknown key 'cpu_features'"),
        ("perHour: 0.8", "perhour: 0.8", ":7: price: unknown key 'perhour'"),
        ("perHour: 0.8, ", "", ":7: price.perHour: it is missing"),
        ("name: mine", "name: much-too-long", ":1: name is 'much-too-long'"),
        ("name: mine", "name: other", ":1: the name 'other' is not the file's"),
        ("selector: []", "selector: {}", ":2: selector is {}"),
        ('cpu: "1"', 'cpu: "one"', "resources.requests: 'one' is not a quantity"),
        ('{cpu: "1", memory: 2Gi}', '{cpu: "0", memory: 2Gi}', "cpu must be above zero"),
        ('{cpu: "1", memory: 2Gi}', "{memory: 2Gi}", ":4: resources.requests: cpu is missing"),
        ('limits: {cpu: "1"', 'limits: {cpu: "2"', ":3: resources: requests and limits differ"),
        ('cpu: "4"', 'cpu: "500m"', ":1: resources ask for more cpu than price.allocatable offers"),
        ('cpu: "4", ', "", ":1: price.allocatable lacks cpu"),
        ("perHour: 0.8", "perHour: 0", ":7: price.perHour is 0, and"),
        ("perHour: 0.8", "perHour: .inf", ":7: price.perHour is inf, and"),
        ("EUR", "euro", ":7: price.currency is 'euro', and"),
    ],
)
def test_a_fault_in_a_class_is_named_with_its_line(tmp_path: Path, old: str, new: str, fault: str) -> None:
    path = written(tmp_path, (old, new))
    with pytest.raises(NodeClassError) as refused:
        read_node_class(path)
    assert str(refused.value).startswith(str(path))
    assert fault in str(refused.value)
    assert refused.value.hint


def test_a_misspelled_key_of_a_class_comes_with_the_right_one(tmp_path: Path) -> None:
    with pytest.raises(NodeClassError) as refused:
        read_node_class(written(tmp_path, ("runtimes: [ort]", "cpu_features: [avx2]\nruntimes: [ort]")))
    assert refused.value.hint == "did you mean cpuFeatures?"


def test_plain_numbers_are_quantities_too_and_truth_values_are_not(tmp_path: Path) -> None:
    assert read_node_class(written(tmp_path, ('cpu: "1"', "cpu: 0.5"))).cpu_share == 0.5
    with pytest.raises(NodeClassError):
        read_node_class(written(tmp_path, ('cpu: "1"', "cpu: true")))


def test_written_out_and_read_again_a_class_is_the_same(tmp_path: Path) -> None:
    for name in node_class_names():
        found = load_node_class(name)
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump(found.model_dump(mode="json", by_alias=True)))
        assert read_node_class(path) == found
    assert isinstance(found, NodeClass)
