"""The forecast: what a CPU can do changes what a recipe promises, and nothing known promises nothing."""

import math

import pytest

from predictors.forecast import Forecast, ModelFacts, forecast
from predictors.manifest import RecipeStep
from predictors.recipes.registry import RECIPES, SHIPPED, read_list, resolve

FOOD = ModelFacts(layers=53, weights=2_237_963, is_convolutional=True)
DIGITS = ModelFacts(layers=6, weights=584_042, is_convolutional=True)
WORDS = ModelFacts(layers=24, weights=20_000_000, is_convolutional=False)
AVX2 = frozenset({"avx2", "fma"})
VNNI = AVX2 | {"avx512f", "avx512_vnni"}
AMX = VNNI | {"amx_int8"}


def of(*names: str, facts: ModelFacts | None = FOOD, features: frozenset[str] | None = VNNI) -> Forecast:
    return forecast(resolve([RecipeStep(name=name) for name in names], "x"), facts, features)


def test_the_plain_export_is_what_others_are_compared_with() -> None:
    found = of("export")
    assert (found.low, found.high, found.verdict) == (1.0, 1.0, "as fast")


@pytest.mark.parametrize(
    ("names", "features", "verdict"),
    [
        (("torch-fp32",), VNNI, "slower"),
        (("export", "optimize"), VNNI, "as fast"),
        (("export", "quantize-static"), VNNI, "faster"),
        (("export", "quantize-static"), AMX, "faster"),
        (("export", "quantize-static"), AVX2, "unsure"),
        (("export", "quantize-static"), frozenset({"sse4_2"}), "unsure"),
        (("export", "quantize-dynamic"), VNNI, "slower"),
        (("export", "openvino-int8"), VNNI, "faster"),
        (("export", "openvino-int8"), AVX2, "unsure"),
        (("prune",), AVX2, "faster"),
        (("distill",), AVX2, "faster"),
        (("export", "ray-fp32"), VNNI, "slower"),
    ],
)
def test_what_the_cpu_has_decides(names: tuple[str, ...], features: frozenset[str], verdict: str) -> None:
    assert of(*names, features=features).verdict == verdict


def test_eight_bits_promise_less_without_vnni_and_the_reason_says_so() -> None:
    with_it, without = of("export", "quantize-static"), of("export", "quantize-static", features=AVX2)
    assert without.low < 1 <= with_it.low
    assert "VNNI multiplies" in with_it.reason
    assert "no VNNI" in without.reason


def test_a_small_network_promises_nothing_from_eight_bits() -> None:
    assert of("export", "quantize-static", facts=DIGITS).verdict == "unsure"
    assert "584,042 weights" in of("export", "openvino-int8", facts=DIGITS).reason


def test_dynamic_quantization_is_for_matrix_products() -> None:
    assert of("export", "quantize-dynamic").high < 1
    assert of("export", "quantize-dynamic", facts=WORDS).high > 1


def test_two_recipes_multiply_and_both_reasons_stand() -> None:
    pruned, quantized, both = of("prune"), of("export", "quantize-static"), of("prune", "quantize-static")
    assert both.low == pytest.approx(pruned.low * quantized.low)
    assert both.high == pytest.approx(pruned.high * quantized.high)
    assert both.reason == f"{pruned.reason}; {quantized.reason}"


def test_more_pruning_promises_more() -> None:
    steps = [resolve([RecipeStep(name="prune", params={"ratio": ratio})], "x") for ratio in (0.2, 0.6)]
    mild, strong = (forecast(one, FOOD, VNNI) for one in steps)
    assert mild.low < strong.low
    assert mild.high < strong.high


@pytest.mark.parametrize(("facts", "features"), [(None, VNNI), (FOOD, None)])
def test_who_knows_nothing_promises_nothing(facts: ModelFacts | None, features: frozenset[str] | None) -> None:
    found = of("export", "quantize-static", facts=facts, features=features)
    assert (found.low, found.high, found.verdict, str(found)) == (0.0, math.inf, "unknown", "unknown")
    assert found.reason


def test_every_variant_of_every_shipped_list_has_a_forecast() -> None:
    for path in SHIPPED.values():
        for number, listed in enumerate(read_list(path)):
            found = forecast(resolve(listed.steps, f"{number}"), FOOD, VNNI)
            assert 0 < found.low <= found.high < math.inf
            assert found.reason
    names = {step.name for path in SHIPPED.values() for listed in read_list(path) for step in listed.steps}
    assert names == set(RECIPES)


def test_a_measured_ratio_is_held_against_the_range() -> None:
    found = Forecast(1.1, 3.0, "because")
    assert found.holds(1.1)
    assert found.holds(3.0)
    assert not found.holds(1.0)
    assert not found.holds(3.1)
    assert str(found) == "faster, 1.1 to 3 x"
