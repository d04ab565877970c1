"""Every value of every chart is explained where it stands, and the README says the same."""

import pytest

from tests.rendered.engine import CHARTS, charts
from tests.rendered.goldens import compare
from tests.rendered.readme import readme, values


@pytest.mark.parametrize("chart", charts())
def test_every_value_is_explained(chart: str) -> None:
    found = values(CHARTS / chart / "values.yaml")
    assert len(found) > 10
    assert [name for name, _, meaning in found if not meaning] == []


@pytest.mark.parametrize("chart", charts())
def test_the_readme_says_what_the_values_say(chart: str) -> None:
    compare(CHARTS / chart / "README.md", readme(CHARTS / chart))


@pytest.mark.parametrize("chart", charts())
def test_a_pass_through_comes_last(chart: str) -> None:
    raw = {"nodeSelector", "tolerations", "affinity", "resources", "resultsResources", "env", "imagePullSecrets"}
    names = list(dict.fromkeys(one.split(".")[0] for one, _, _ in values(CHARTS / chart / "values.yaml")))
    first = next(i for i, name in enumerate(names) if name in raw)
    assert set(names[first:]) <= raw
