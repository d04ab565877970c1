"""The strict bases: nothing is dropped, converted or changed on the way in."""

import pytest
from pydantic import ValidationError

from loadtest.strict import Strict, StrictYaml


class Document(Strict):
    max_rate: float
    name: str = "x"


class File(StrictYaml):
    max_rate: float


@pytest.mark.parametrize(
    "content",
    [{"max_rate": 1.0, "more": 1}, {"max_rate": "1"}, {"max_rate": float("nan")}, {"max_rate": float("inf")}, {}],
)
def test_what_does_not_fit_is_refused(content: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Document.model_validate(content)


def test_what_was_read_cannot_be_changed() -> None:
    document = Document(max_rate=1)
    with pytest.raises(ValidationError, match="frozen"):
        document.name = "y"


def test_files_are_written_in_camel_case_and_documents_in_snake_case() -> None:
    assert File.model_validate({"maxRate": 2}).max_rate == 2
    assert File(max_rate=2).model_dump(by_alias=True) == {"maxRate": 2}
    assert Document(max_rate=2).model_dump() == {"max_rate": 2, "name": "x"}
