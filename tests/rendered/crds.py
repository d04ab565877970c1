"""Makes the schemas of `k8s/schemas` from the CRDs of a project, once per new version of it.

`python -m tests.rendered.crds VERSION FILE...` reads CRDs (of a Go module, say) and writes the kinds that our charts
use: one version, no descriptions, closed where the API server would drop an unknown key in silence, and every part
that stands twice written once.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FOLDER", "WANTED", "closed", "deduplicated", "schema_name"]

FOLDER = Path(__file__).parents[2] / "k8s" / "schemas"
WANTED = {
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("serving.kserve.io/v1alpha1", "ClusterServingRuntime"),
    ("monitoring.coreos.com/v1", "PodMonitor"),
    ("monitoring.coreos.com/v1", "PrometheusRule"),
}
_SHORTEST_SHARED = 120

Node = Any  # a JSON value


def schema_name(api_version: str, kind: str) -> str:
    """Return the file name of a kind's schema."""
    return f"{api_version.replace('/', '_')}_{kind.lower()}.json"


def closed(node: Node) -> Node:
    """Return a part of a CRD's schema without descriptions and extensions, and with unknown keys refused."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    # Below "properties" the keys are names, and one of them may well be "description".
    found = {
        key: {name: closed(item) for name, item in value.items()} if key == "properties" else closed(value)
        for key, value in node.items()
        if key not in {"description", "default"} and not key.startswith("x-")
    }
    is_open = node.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in node
    if "properties" in found and not is_open:
        found["additionalProperties"] = False
    return found


def deduplicated(schema: Node) -> Node:
    """Return the same schema with every larger part that stands more than once moved to `definitions`."""
    times: Counter[str] = Counter()

    def count(node: Node) -> None:
        if isinstance(node, dict):
            # A mapping of properties may hold one that is called "type".
            if isinstance(node.get("type"), str):
                times[json.dumps(node, sort_keys=True)] += 1
            for item in node.values():
                count(item)
        elif isinstance(node, list):
            for item in node:
                count(item)

    definitions: dict[str, Node] = {}

    def move(node: Node) -> Node:
        if isinstance(node, list):
            return [move(item) for item in node]
        if not isinstance(node, dict):
            return node
        text = json.dumps(node, sort_keys=True)
        if times[text] < 2 or len(text) < _SHORTEST_SHARED:
            return {key: move(value) for key, value in node.items()}
        name = hashlib.sha256(text.encode()).hexdigest()[:8]
        if name not in definitions:
            definitions[name] = {}
            definitions[name] = {key: move(value) for key, value in node.items()}
        return {"$ref": f"#/definitions/{name}"}

    count(schema)
    moved = {key: move(value) for key, value in schema.items()}
    return {**moved, "definitions": dict(sorted(definitions.items()))}


def main(version: str, files: list[Path]) -> None:
    """Write the schemas of all wanted kinds that the files define."""
    FOLDER.mkdir(exist_ok=True)
    for file in files:
        crd = yaml.safe_load(file.read_text(encoding="utf-8"))
        kind = crd["spec"]["names"]["kind"]
        for served in crd["spec"]["versions"]:
            api_version = f"{crd['spec']['group']}/{served['name']}"
            if (api_version, kind) not in WANTED:
                continue
            schema = served["schema"]["openAPIV3Schema"]
            schema["properties"] |= {"metadata": {"type": "object", "required": ["name"]}}
            schema["properties"].pop("status", None)
            written = {
                "$schema": "http://json-schema.org/draft-07/schema#",
                "$comment": f"made by tests.rendered.crds from {version}",
                **deduplicated(closed(schema)),
            }
            target = FOLDER / schema_name(api_version, kind)
            target.write_text(json.dumps(written, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
            sys.stderr.write(f"crds: {target.relative_to(FOLDER.parents[1])} ({target.stat().st_size >> 10} KiB)\n")


if __name__ == "__main__":
    main(sys.argv[1], [Path(file) for file in sys.argv[2:]])
