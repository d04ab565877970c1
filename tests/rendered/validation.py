"""What an API server would say of an object: strict schemas of Kubernetes, and those of the CRDs in `k8s/schemas`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jsonschema
import kubernetes_validate

from tests.rendered.crds import FOLDER, schema_name

__all__ = ["VERSIONS", "faults"]

# The oldest that the charts say they run on, and the newest whose schemas there are.
VERSIONS = ("1.32.0", "1.37.0")


@cache
def _schema(name: str) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads((FOLDER / name).read_text(encoding="utf-8")))


def faults(document: dict[str, Any], versions: Sequence[str] = VERSIONS) -> list[str]:
    """Return what is wrong with an object; an unknown kind is wrong too."""
    name = schema_name(document["apiVersion"], document["kind"])
    if (FOLDER / name).is_file():
        return [f"{error.json_path}: {error.message}" for error in _schema(name).iter_errors(document)]
    found = []
    for version in versions:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            found.append(f"{version}: {list(error.path)}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            found.append(f"{version}: {error}")
    return found
