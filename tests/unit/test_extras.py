import re
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from podium.extras import EXTRAS, extra_of, missing_modules

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]


def distributions(requirements: list[str]) -> tuple[set[str], set[str]]:
    """Return the distributions that are asked for, and the extras of our own."""
    names, own = set(), set()
    for text in requirements:
        if included := re.match(r"podium\[([^\]]+)\]", text):
            own |= set(included[1].split(","))
        else:
            names.add(re.split(r"[<>=!~\[; ]", text)[0].lower())
    return names, own


@pytest.mark.parametrize("name", sorted(EXTRAS))
def test_the_table_says_what_the_distribution_declares(name: str) -> None:
    names, own = distributions(PROJECT["optional-dependencies"][name])
    installed = packages_distributions()
    # Several distributions may fill one package, as `google`.
    brought = [{each.lower().replace("_", "-") for each in installed[module]} for module in EXTRAS[name].modules]
    assert all(each & names for each in brought)
    assert names <= set.union(set(), *brought)
    assert set(EXTRAS[name].includes) == own


def test_every_extra_of_the_distribution_is_in_the_table() -> None:
    assert set(EXTRAS) == set(PROJECT["optional-dependencies"])


def test_what_an_extra_includes_is_missed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("podium.extras.find_spec", lambda name: None)
    assert missing_modules("serve-ort")[0] == "onnxruntime"
    assert set(missing_modules("serve")) < set(missing_modules("serve-ort")) < set(missing_modules("build"))
    assert len(set(missing_modules("build"))) == len(missing_modules("build"))


def test_a_module_belongs_to_the_smallest_extra_that_brings_it() -> None:
    assert extra_of("PIL.Image") == "serve"
    assert extra_of("scipy.stats") == "bench"
    assert extra_of("torch") == "serve-torch"
    assert extra_of("yaml") is None
