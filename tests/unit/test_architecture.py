"""The network of a card: its module and its own parameters, refused in a sentence where they make no network."""

import importlib
import subprocess
import sys

import pytest

from predictors.errors import SourceError
from predictors.models import antsbees, food11
from predictors.models.architecture import build, shapes


def test_parameters_reach_the_network_and_its_shapes() -> None:
    network = build("predictors.models.antsbees", {"width": 0.125})
    assert tuple(network.get_parameter("0.weight").shape) == (8, 3, 7, 7)
    assert shapes(antsbees, {"width": 0.125})["0.weight"] == (8, 3, 7, 7)


def test_without_parameters_a_network_is_as_its_module_says() -> None:
    assert shapes(food11, {}) == food11.parameter_shapes()
    assert shapes(antsbees, {}) == antsbees.parameter_shapes(0.5)


@pytest.mark.parametrize(
    ("module", "parameters", "sentence", "hint"),
    [
        ("food11", {"width": 0.5}, "food11 has no parameter 'width'", "leave network out"),
        ("antsbees", {"depth": 34}, "antsbees has no parameter 'depth'", "it takes width"),
        ("antsbees", {"width": 0.3}, "antsbees: width is 0.3", "correct network"),
        ("antsbees", {"width": float("nan")}, "antsbees: width is nan", "correct network"),
        ("antsbees", {"width": 0}, "antsbees: width is 0", "correct network"),
        ("antsbees", {"width": 64}, "antsbees: width is 64", "correct network"),
    ],
)
def test_what_a_network_does_not_take_is_refused(
    module: str, parameters: dict[str, float], sentence: str, hint: str
) -> None:
    name = f"predictors.models.{module}"
    for ask in (lambda: build(name, parameters), lambda: shapes(importlib.import_module(name), parameters)):
        with pytest.raises(SourceError, match=sentence) as caught:
            ask()
        assert hint in caught.value.hint


def test_shapes_are_known_without_torch() -> None:
    script = (
        "import sys\nfrom predictors.models import antsbees, architecture, food11, mnist\n"
        "assert all(architecture.shapes(one, {}) for one in (antsbees, food11, mnist))\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
