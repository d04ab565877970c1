"""The JSON Schema of a submission, for editors and admission policies.

It says what the reader of `podium.submission` says, as far as a schema can: the reader names lines and
remedies, and also looks at folders and at clauses that contradict each other. Both are held together by
tests.
"""

from podium import ANNOTATION_PREFIX
from podium.inferenceservice import (
    API_VERSION,
    FORMATS,
    KIND,
    MAX_NAME,
    METADATA_KEYS,
    MODEL_KEYS,
    NAME,
    PREDICTOR_KEYS,
)
from podium.source import SCHEMES
from podium.submission import DEFAULTS, FORMS, KEYS

__all__ = ["submission_schema"]

Schema = dict[str, object]

_NUMBER = r"[+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?"
_CLAUSES = (
    rf"p(50|90|95|99|99\.9)\s*<=\s*{_NUMBER}\s*(us|ms|s)",
    rf"errors\s*<=\s*{_NUMBER}\s*%?",
    rf"rate\s*>=\s*{_NUMBER}\s*/s",
    rf"ready\s*<=\s*{_NUMBER}\s*(us|ms|s)",
)
_QUALITY_CLAUSE = rf"[A-Za-z][\w.-]*\s*(<=|>=)\s*[+-]?{_NUMBER}"
_DESCRIPTIONS = {
    "slo": "Every clause must hold; `rate` is the rate at which the others must hold.",
    "quality": "`accuracy` absolute on the test data, `drop` against the source.",
    "variants": "`auto` is the model's recipe list; else patterns over ids without the model's name.",
    "node-classes": "Where to race; ignored on the local target.",
    "profile": "Load profile, by name or file; the default is `standard`.",
    "budget": "Wall time for measuring, as 5m or 1h30m; the default is the profile's.",
    "incumbent": "Variant that races too and is named in the report; `none` leaves it out.",
}


def submission_schema() -> Schema:
    """Return the schema: closed at every level that is ours, open where KServe and Kubernetes decide."""
    return {
        "title": "Submission",
        "description": "An InferenceService whose annotations say what must hold and what may be tried.",
        "type": "object",
        "additionalProperties": False,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": KIND},
            "metadata": _metadata(),
            "spec": {
                "type": "object",
                "additionalProperties": False,
                "required": ["predictor"],
                "properties": {"predictor": _predictor()},
            },
            "status": {},
        },
    }


def _metadata() -> Schema:
    ours: Schema = {f"{ANNOTATION_PREFIX}{key}": _annotation(key) for key in KEYS}
    names = "|".join(KEYS)
    prefix = ANNOTATION_PREFIX.replace(".", r"\.")
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "annotations"],
        "properties": {key: {} for key in METADATA_KEYS}
        | {
            "name": {"type": "string", "pattern": f"^{NAME.pattern}$", "maxLength": MAX_NAME},
            "annotations": {
                "type": "object",
                "required": [f"{ANNOTATION_PREFIX}slo"],
                "properties": ours,
                "patternProperties": {f"^{prefix}(?!({names})$)": False},
                "additionalProperties": {"type": "string"},
            },
        },
    }


def _annotation(key: str) -> Schema:
    schema: Schema = {
        "type": "string",
        "description": _DESCRIPTIONS[key],
        "examples": [KEYS[key].split('"')[1]],
        "pattern": _pattern(key),
    }
    return schema | ({"default": DEFAULTS[key]} if key in DEFAULTS else {})


def _pattern(key: str) -> str:
    if key == "slo":
        return _list_of(f"({'|'.join(_CLAUSES)})")
    if key == "quality":
        return _list_of(_QUALITY_CLAUSE)
    if key == "profile":
        return rf"^({FORMS[key].pattern}|.+\.ya?ml)$"
    if key == "budget":
        return r"^([0-9]+(\.[0-9]+)?(ms|h|m|s))+$"
    return _list_of(FORMS[key].pattern) if key != "incumbent" else f"^{FORMS[key].pattern}$"


def _list_of(form: str) -> str:
    return rf"^\s*{form}(\s*,\s*{form})*\s*$"


def _predictor() -> Schema:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["model"],
        "properties": {key: {} for key in PREDICTOR_KEYS}
        | {
            "model": {
                "type": "object",
                "additionalProperties": False,
                "required": ["modelFormat", "storageUri"],
                "properties": {key: {} for key in MODEL_KEYS if key != "storage"}
                | {
                    "modelFormat": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["name"],
                        "properties": {"name": {"enum": list(FORMATS)}, "version": {}},
                    },
                    "storageUri": {"type": "string", "pattern": f"^({'|'.join(SCHEMES)})://.+"},
                },
            }
        },
    }
