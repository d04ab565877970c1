"""`python -m podium.schema_export [--check]`: the JSON Schema of every file that people or programs exchange.

Each is written into `schemas/` of the package that owns the file. With `--check` nothing is written, and a
schema that differs from the code is exit code 1. Generated, because a schema kept by hand drifts from what
is read.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import BaseModel

from loadtest.profile import Profile
from loadtest.runrecord import RunRecord
from podium.autoscaling.policy import policy_schema
from podium.benchfile import Bench
from podium.calibration import Calibration
from podium.chaos.report import ChaosReport
from podium.chaos.spec import Faults
from podium.dossier import Dossier
from podium.nodeclass import NodeClass
from podium.racefile import Race
from podium.submission_schema import submission_schema
from predictors.card import ModelCard
from predictors.manifest import Variant
from predictors.measured import Measured
from predictors.recipes.registry import RecipeList

__all__ = ["SCHEMAS", "differing", "main", "text_of"]

_ROOT = Path(__file__).parent.parent
# The API itself, which clients generate code from; the contract tests hold the server to it.
_WRITTEN_BY_HAND = frozenset({"predictors/schemas/openapi.json"})
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def _of(model: type[BaseModel]) -> Callable[[], Mapping[str, object]]:
    return lambda: model.model_json_schema(by_alias=True, mode="validation")


SCHEMAS: Mapping[str, Callable[[], Mapping[str, object]]] = {
    "loadtest/schemas/profile.json": _of(Profile),
    "loadtest/schemas/run.json": _of(RunRecord),
    "podium/schemas/bench.json": _of(Bench),
    "podium/schemas/calibration.json": _of(Calibration),
    "podium/schemas/chaos.json": _of(ChaosReport),
    "podium/schemas/dossier.json": _of(Dossier),
    "podium/schemas/faults.json": _of(Faults),
    "podium/schemas/node-class.json": _of(NodeClass),
    "podium/schemas/policy.json": policy_schema,
    "podium/schemas/race.json": _of(Race),
    "podium/schemas/submission.json": submission_schema,
    "predictors/schemas/measured.json": _of(Measured),
    "predictors/schemas/model.json": _of(ModelCard),
    "predictors/schemas/recipes.json": _of(RecipeList),
    "predictors/schemas/variant.json": _of(Variant),
}


def text_of(path: str) -> str:
    """Return the text that the schema file at `path` must have."""
    return json.dumps({"$schema": _DIALECT, **SCHEMAS[path]()}, indent=2, ensure_ascii=False) + "\n"


def differing(root: Path = _ROOT) -> tuple[str, ...]:
    """Return the schema files below `root` that are missing, differ from the code, or have no code."""
    found = {
        path.relative_to(root).as_posix()
        for package in {name.partition("/")[0] for name in SCHEMAS}
        for path in (root / package / "schemas").glob("*.json")
    }
    wrong = {
        name for name in SCHEMAS if name not in found or (root / name).read_text(encoding="utf-8") != text_of(name)
    }
    return tuple(sorted(wrong | (found - set(SCHEMAS) - _WRITTEN_BY_HAND)))


def main(arguments: list[str], root: Path = _ROOT) -> int:
    """Write the schemas below `root`, or with `--check` only compare them, and return the exit code."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("error: unknown arguments\n  → python -m podium.schema_export --check\n")
        return 2
    wrong = differing(root)
    if arguments:
        for name in wrong:
            sys.stderr.write(f"{name}: not what the code says\n")
        if wrong:
            sys.stderr.write("  → python -m podium.schema_export\n")
        return 1 if wrong else 0
    for name in wrong:
        path = root / name
        if name in SCHEMAS:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text_of(name), encoding="utf-8")
        else:
            path.unlink()
        sys.stderr.write(f"{name}: written\n" if name in SCHEMAS else f"{name}: removed\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
