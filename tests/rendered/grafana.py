"""Makes `k8s/schemas/grafana_dashboard.json` from Grafana's own types, once per new version of them.

`python -m tests.rendered.grafana` needs the package `grafana-foundation-sdk`, whose models are generated from the CUE
schemas that Grafana itself is built with. Each class becomes an object that takes no other keys, so that a misspelled
one, which Grafana ignores in silence, is a fault here. What the classes leave open (options, custom field settings and
queries depend on the kind of panel) is closed for the kinds that our dashboards use.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
import sys
import types
import typing
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from tests.rendered.crds import FOLDER

__all__ = ["FILE", "PANELS", "main"]

FILE = FOLDER / "grafana_dashboard.json"
PANELS = ("timeseries", "stat", "table")
_MODELS = "grafana_foundation_sdk.models"
_PLAIN: Mapping[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number"}
# A key of the JSON and the attribute that goes there, as the classes write themselves.
_WRITTEN = re.compile(r'(?:payload\["|")(\w+)"(?:\] =|:) self\.(\w+)')

Node = dict[str, Any]


class _Definitions:
    """The classes that were met, as definitions of one schema."""

    def __init__(self) -> None:
        self.known: dict[str, Node] = {}

    def of(self, hint: Any) -> Node:
        """Return the schema of a type."""
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if hint in _PLAIN:
            return {"type": _PLAIN[hint]}
        if origin in {typing.Union, types.UnionType}:
            options = [self.of(one) for one in arguments if one is not type(None)]
            return options[0] if len(options) == 1 else {"anyOf": options}
        if origin is typing.Literal:
            return {"enum": list(arguments)}
        if origin is list:
            return {"type": "array", "items": self.of(arguments[0])}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if inspect.isclass(hint) and issubclass(hint, enum.Enum):
            return {"enum": [one.value for one in hint]}
        if inspect.isclass(hint) and hint.__module__.startswith(_MODELS):
            return self._reference(hint)
        return {}

    def _reference(self, made: type) -> Node:
        name = f"{made.__module__.rpartition('.')[2]}.{made.__name__}"
        if name not in self.known:
            self.known[name] = {}
            self.known[name] |= self.object(made)
        return {"$ref": f"#/definitions/{name}"}

    def object(self, made: type) -> Node:
        """Return the schema of a class: its own keys, and no others."""
        hints = typing.get_type_hints(made)
        keys = dict(_WRITTEN.findall(inspect.getsource(made.to_json)))  # type: ignore[attr-defined]
        assert set(keys.values()) == set(hints), made
        found = {key: self.of(hints[attribute]) for key, attribute in sorted(keys.items())}
        return {"type": "object", "additionalProperties": False, "properties": found}


def _panels(definitions: _Definitions) -> list[Node]:
    """Return one closed schema for each kind of panel."""
    dashboard, query = (importlib.import_module(f"{_MODELS}.{name}") for name in ("dashboard", "prometheus"))
    found = []
    for kind in PANELS:
        module = importlib.import_module(f"{_MODELS}.{kind}")
        panel, settings = definitions.object(dashboard.Panel), definitions.object(dashboard.FieldConfigSource)
        defaults = definitions.object(dashboard.FieldConfig)
        custom = getattr(module, "FieldConfig", None)
        defaults["properties"]["custom"] = {"type": "object", "maxProperties": 0} if custom is None else {}
        if custom is not None:
            defaults["properties"]["custom"] = definitions.of(custom)
        settings["properties"]["defaults"] = defaults
        panel["properties"] |= {
            "type": {"const": kind},
            "options": definitions.of(module.Options),
            "targets": {"type": "array", "items": definitions.of(query.Dataquery), "minItems": 1},
            "fieldConfig": settings,
        }
        panel["required"] = ["type", "id", "title", "gridPos", "targets"]
        found.append(panel)
    row = definitions.object(dashboard.RowPanel)
    row["properties"]["type"] = {"const": "row"}
    row["required"] = ["type", "id", "title", "gridPos"]
    return [*found, row]


def main() -> None:
    """Write the schema."""
    definitions = _Definitions()
    dashboard = importlib.import_module(f"{_MODELS}.dashboard")
    whole = definitions.object(dashboard.Dashboard)
    whole["properties"]["panels"] = {"type": "array", "minItems": 1, "items": {"oneOf": _panels(definitions)}}
    whole["required"] = ["uid", "title", "schemaVersion", "panels", "templating"]
    # Grafana's own limit of an identifier.
    whole["properties"]["uid"] |= {"maxLength": 40}
    used = _used(whole, definitions.known)
    written = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "$comment": f"made by tests.rendered.grafana from grafana-foundation-sdk {version('grafana-foundation-sdk')}",
        **whole,
        "definitions": {name: definitions.known[name] for name in sorted(used)},
    }
    FILE.write_text(json.dumps(written, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    sys.stderr.write(f"grafana: {FILE.relative_to(FOLDER.parents[1])} ({FILE.stat().st_size >> 10} KiB)\n")


def _used(node: Any, known: Mapping[str, Node]) -> set[str]:
    """Return the definitions that a schema leads to."""
    found: set[str] = set()
    todo = [node]
    while todo:
        for name in re.findall(r'"#/definitions/([^"]+)"', json.dumps(todo.pop())):
            if name not in found:
                found.add(name)
                todo.append(known[name])
    return found


if __name__ == "__main__":
    main()
