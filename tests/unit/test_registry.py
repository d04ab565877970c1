"""Recipe lists: what they may say, and that a pipeline is checked before anything is imported."""

import importlib.metadata
from pathlib import Path

import pytest
import yaml

from predictors.errors import BuildError
from predictors.manifest import RecipeStep
from predictors.recipes.registry import DEFAULT_LIST, RECIPES, SHIPPED, Recipe, read_list, resolve


def steps(*names: str) -> list[RecipeStep]:
    return [RecipeStep(name=name) for name in names]


def test_the_shipped_list_holds_the_four_variants() -> None:
    listed = read_list(DEFAULT_LIST)
    last = [RECIPES[item.steps[-1].name] for item in listed]
    assert [(recipe.runtime, recipe.precision) for recipe in last] == [
        ("torch", "fp32"),
        ("ort", "fp32"),
        ("ort", "int8"),
        ("openvino", "int8"),
    ]


def test_the_full_list_tries_every_recipe_and_begins_with_the_default_one() -> None:
    full = read_list(SHIPPED["full"])
    assert len(full) >= 14
    assert full[0] == read_list(DEFAULT_LIST)[0]
    # Ray and a compiler take long to start and are raced where somebody asks for them; what trains needs a checkpoint.
    others = {"ray-fp32", "torch-compiled"} | {name for name, recipe in RECIPES.items() if recipe.is_trained}
    assert {step.name for item in full for step in item.steps} == set(RECIPES) - others
    for item in read_list(DEFAULT_LIST):
        assert item in full


def test_the_trained_list_has_each_recipe_that_trains_alone_and_with_int8() -> None:
    listed = [tuple(step.name for step in item.steps) for item in read_list(SHIPPED["trained"])]
    for name in (name for name, recipe in RECIPES.items() if recipe.is_trained):
        assert {(name,), (name, "quantize-static"), (name, "openvino-int8")} <= set(listed)
    assert listed[0] == ("torch-fp32",)


def test_the_list_for_ray_compares_it_with_the_same_graph_and_the_source() -> None:
    last = [item.steps[-1].name for item in read_list(SHIPPED["ray"])]
    assert last == ["torch-fp32", "export", "ray-fp32"]


def test_the_compiled_list_compares_it_with_eager_mode_and_the_graph() -> None:
    last = [item.steps[-1].name for item in read_list(SHIPPED["compiled"])]
    assert last == ["torch-fp32", "torch-compiled", "export"]
    assert RECIPES["torch-compiled"].change == "compiled"


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_has_code_and_tools_that_are_there(name: str) -> None:
    recipe = RECIPES[name]
    assert "def apply(work: Work) -> Made:" in recipe.source_files()[0].read_text(encoding="utf-8")
    assert all(path.is_file() for path in recipe.source_files())
    for tool in recipe.tools:
        assert importlib.metadata.version(tool)


def test_a_recipe_whose_module_is_gone_says_so() -> None:
    with pytest.raises(BuildError, match=r"recipes\.nothing is not installed"):
        Recipe("predictors.recipes.nothing", "ort", "fp32", ()).source_files()


def test_equal_work_has_equal_parameters() -> None:
    plain = resolve(steps("export", "quantize-static"), "x")
    spelled = resolve(
        [
            RecipeStep(name="export", params={"opset": 20}),
            RecipeStep(name="quantize-static", params={"method": "minmax", "perChannel": True}),
        ],
        "x",
    )
    assert plain == spelled
    assert set(plain[1].params) == {"format", "method", "perChannel", "activations", "percentile", "reduceRange"}


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (steps("shrink"), "there is no recipe 'shrink'"),
        (steps("quantize-static"), "quantize-static needs the graph of `export` before it"),
        (steps("export", "torch-fp32"), "torch-fp32 needs to be the first"),
        (steps("export", "export"), "export needs to be the first"),
        (steps("torch-fp32", "openvino-int8"), "openvino-int8 cannot follow torch-fp32"),
        (steps("export", "quantize-static", "openvino-int8"), "openvino-int8 cannot follow quantize-static"),
        ([RecipeStep(name="export", params={"opset": 9})], "export.opset: "),
        ([RecipeStep(name="export", params={"opsets": 20})], "export: unknown key .opsets"),
        ([RecipeStep(name="torch-fp32", params={"fast": True})], "torch-fp32: unknown key .fast"),
    ],
)
def test_a_pipeline_that_cannot_be_is_refused(pipeline: list[RecipeStep], words: str) -> None:
    with pytest.raises(BuildError, match=words) as caught:
        resolve(pipeline, "list.yaml: variants.0")
    assert str(caught.value).startswith("list.yaml: variants.0: ")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"variants: []", "variants: "),
        (b"variants: [{steps: []}]", r"variants\.0\.steps"),
        (b"variants: [{steps: [{name: export}], change: Fast}]", r"variants\.0\.change"),
        (b"variants: [{steps: [{name: export}], id: x}]", r"variants\.0: unknown key .id"),
        (b"variants: [{steps: [{name: shrink}]}]", r"variants\.0: there is no recipe 'shrink'"),
        (b"variants: [", "is not YAML"),
        (b"\xff", "is not YAML"),
        (b"#" * (65 << 10), "larger than 64 KiB"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "recipes.yaml"
    path.write_bytes(content)
    with pytest.raises(BuildError, match=words) as caught:
        read_list(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


def test_a_missing_list_is_named(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match=r"none\.yaml cannot be read"):
        read_list(tmp_path / "none.yaml")


def test_a_list_of_own_recipes_is_read(tmp_path: Path) -> None:
    path = tmp_path / "recipes.yaml"
    own = [{"name": "export"}, {"name": "quantize-static", "params": {"method": "entropy"}}]
    path.write_text(yaml.safe_dump({"variants": [{"change": "entropy", "steps": own}]}), encoding="utf-8")
    (listed,) = read_list(path)
    assert (listed.change, listed.steps[1].params) == ("entropy", {"method": "entropy"})
