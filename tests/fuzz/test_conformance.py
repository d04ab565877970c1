"""The long form of tests/contract/test_openapi.py: a hundred examples an operation."""

import json
from pathlib import Path

import pytest

from tests.contract.conftest import Starter, start, vector_folder
from tests.contract.test_openapi import DOCUMENT, named, schemathesis

__all__ = ["start", "vector_folder"]


@pytest.mark.timeout(900)
def test_schemathesis_finds_nothing_in_a_hundred_examples(start: Starter, vector_folder: Path, tmp_path: Path) -> None:
    server = start(vector_folder)
    path = named(json.loads(DOCUMENT.read_text(encoding="utf-8")), tmp_path)
    ended = schemathesis(path, server.http_port, "--max-examples", "100", timeout_s=850)
    assert ended.returncode == 0, ended.stdout[-6000:] + ended.stderr[-2000:]
    assert server.is_good()


def test_schemathesis_finds_a_status_that_the_document_lacks(
    start: Starter, vector_folder: Path, tmp_path: Path
) -> None:
    """The control: without its refusals the document says something that is not so."""
    server = start(vector_folder)
    document = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    path = "/v1/models/{model}:predict"
    document["paths"] = {path: document["paths"][path]}
    document["paths"][path]["post"]["responses"].pop("400")
    flags = ("--max-examples", "2", "--phases", "fuzzing")
    ended = schemathesis(named(document, tmp_path), server.http_port, *flags)
    assert ended.returncode == 1, ended.stdout[-3000:]
    assert "Undocumented status code" in ended.stdout, ended.stdout[-3000:]
