"""The submission: an InferenceService whose annotations say what must hold and what may be tried.

Strict, and done before anything starts: every error names file, line, value and the accepted form. It does
not decide which variants exist or whether the model fits its card; `predictors` does, from the folder found
here.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from loadtest.errors import SloError
from loadtest.reach import require_provable
from loadtest.slo import QualityGate, Slo, parse_quality, parse_slo, require_rate
from podium import ANNOTATION_PREFIX
from podium.document import Document, Value, nearest, read_document
from podium.errors import ConfigError, FileError, SubmissionError
from podium.inferenceservice import check_shape
from podium.quantities import parse_duration
from podium.source import locate

__all__ = ["DEFAULTS", "FORMS", "KEYS", "Submission", "load_submission"]

T = TypeVar("T")

DEFAULTS = {"quality": "drop<=0.01", "variants": "auto"}
KEYS = {
    "slo": 'podium.dev/slo: "p99<=100ms, errors<=1%, rate>=40/s"',
    "quality": 'podium.dev/quality: "accuracy>=0.85, drop<=0.01"',
    "variants": 'podium.dev/variants: "auto", or patterns: "ort-*, openvino-int8"',
    "node-classes": 'podium.dev/node-classes: "epyc,a100"',
    "profile": 'podium.dev/profile: "quick", or a file: "profiles/night.yaml"',
    "budget": 'podium.dev/budget: "5m"',
    "incumbent": 'podium.dev/incumbent: "food11-ort-fp32", or "none"',
}
_ANNOTATIONS = ("metadata", "annotations")
# The form of one word of an annotation.
FORMS = {
    "variants": re.compile(r"[a-z0-9*?\[\]!.-]{1,64}"),
    "node-classes": re.compile(r"[a-z0-9]([-a-z0-9]{0,6}[a-z0-9])?"),
    "profile": re.compile(r"[a-z0-9][a-z0-9-]{0,29}"),
    "incumbent": re.compile(r"[a-z0-9]([.a-z0-9-]{0,28}[a-z0-9])?"),
}


@dataclass(frozen=True, slots=True)
class Submission:
    """What one submission asks for.

    `variants` is empty for `auto`. `profile`, `budget_s` and `incumbent` are None where the file is silent;
    `incumbent` is the word `none` where it asks for none. `profile` is a name or the path of an existing
    file. `text` holds our annotations as written, without their prefix, and `source` the whole file.
    """

    name: str
    path: Path
    slo: Slo
    quality: QualityGate
    variants: tuple[str, ...]
    node_classes: tuple[str, ...]
    profile: str | None
    budget_s: float | None
    incumbent: str | None
    model_format: str
    storage_uri: str
    model_folder: Path
    text: dict[str, str]
    source: str


def load_submission(path: Path, models_dir: Path = Path("models")) -> Submission:
    """Read and check a submission; the model's folder must exist, and is not looked into.

    Raises:
        SubmissionError: with file and line, the value and the accepted form.
    """
    document = read_document(path, SubmissionError)
    check_shape(document)
    text = _annotations(document)
    uri = document.text("spec", "predictor", "model", "storageUri")
    return Submission(
        name=document.text("metadata", "name"),
        path=path,
        slo=_parsed(document, "slo", text["slo"], _race_slo),
        quality=_parsed(document, "quality", text["quality"], parse_quality),
        variants=_variants(document, text["variants"]),
        node_classes=_words(document, "node-classes", text.get("node-classes")),
        profile=_profile(document, text.get("profile")),
        budget_s=_parsed(document, "budget", text["budget"], parse_duration) if "budget" in text else None,
        incumbent=_incumbent(document, text.get("incumbent")),
        model_format=document.text("spec", "predictor", "model", "modelFormat", "name"),
        storage_uri=uri,
        model_folder=_located(document, uri, models_dir),
        text=text,
        source=path.read_text(encoding="utf-8-sig"),
    )


def _annotations(document: Document) -> dict[str, str]:
    """Return our annotations without prefix, defaults filled in, every key known and every value text."""
    _refuse_misplaced(document)
    metadata = document.mapping("metadata")
    found = document.mapping(*_ANNOTATIONS) if "annotations" in metadata else {}
    ours: dict[str, str] = {}
    for key, value in found.items():
        if not isinstance(value, str):
            shown = f"{value}".lower() if isinstance(value, bool) else f"{value}"
            raise document.error(
                (*_ANNOTATIONS, key),
                f"the annotation {key} must be text",
                f'put it in quotes: {key}: "{shown}"',
            )
        name = _our_name(document, key)
        if name is not None:
            ours[name] = document.text(*_ANNOTATIONS, key).strip()
    if "slo" not in ours:
        raise document.error(_ANNOTATIONS, "the annotation podium.dev/slo is missing", f"add {KEYS['slo']}")
    return DEFAULTS | ours


def _our_name(document: Document, key: str) -> str | None:
    prefix, slash, name = key.rpartition("/")
    if f"{prefix}/" != ANNOTATION_PREFIX:
        if slash and name in KEYS and prefix.lower().startswith("pod"):
            raise document.error(
                (*_ANNOTATIONS, key),
                f"unknown annotation {key!r}",
                f"did you mean {ANNOTATION_PREFIX}{name}?",
            )
        return None
    if name not in KEYS:
        hint = nearest(name, KEYS)
        raise document.error(
            (*_ANNOTATIONS, key),
            f"unknown annotation {key!r}",
            hint.replace("did you mean ", f"did you mean {ANNOTATION_PREFIX}"),
        )
    return name


def _refuse_misplaced(document: Document) -> None:
    places = (("metadata", "labels"), ("spec", "predictor", "annotations"), ("spec", "predictor", "labels"))
    for place in places:
        found: Value = document.content
        for key in place:
            found = found.get(key) if isinstance(found, dict) else None
        for key in found if isinstance(found, dict) else ():
            if key.startswith(ANNOTATION_PREFIX):
                raise document.error(
                    (*place, key), f"{key} stands in {'.'.join(place)}", "move it to metadata.annotations"
                )


def _race_slo(text: str) -> Slo:
    slo = parse_slo(text)
    require_rate(slo)
    require_provable(slo)
    return slo


def _error(document: Document, name: str, sentence: str, hint: str) -> FileError:
    key = ANNOTATION_PREFIX + name
    return document.error((*_ANNOTATIONS, key), f"{key}: {sentence}", hint)


def _parsed(document: Document, name: str, text: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (SloError, ConfigError) as error:
        raise _error(document, name, str(error), error.hint) from error


def _words(document: Document, name: str, text: str | None) -> tuple[str, ...]:
    if text is None:
        return ()
    words = tuple(word.strip() for word in text.split(","))
    for i, word in enumerate(words):
        if FORMS[name].fullmatch(word) is None:
            raise _error(document, name, f"{word!r} is not accepted", KEYS[name])
        if word in words[:i]:
            raise _error(document, name, f"{word!r} stands twice", "name each one once")
    return words


def _variants(document: Document, text: str) -> tuple[str, ...]:
    words = _words(document, "variants", text)
    if words == ("auto",):
        return ()
    if "auto" in words:
        raise _error(document, "variants", f"{text!r} mixes auto with patterns", KEYS["variants"])
    return words


def _profile(document: Document, text: str | None) -> str | None:
    if text is None or FORMS["profile"].fullmatch(text):
        return text
    path = document.path.parent / text
    if "\0" in text or not text.endswith((".yaml", ".yml")) or not path.is_file():
        raise _error(document, "profile", f"{text!r} is no profile's name and no file", KEYS["profile"])
    return str(path)


def _incumbent(document: Document, text: str | None) -> str | None:
    if text is not None and FORMS["incumbent"].fullmatch(text) is None:
        raise _error(document, "incumbent", f"{text!r} is not a variant's id", KEYS["incumbent"])
    return text


def _located(document: Document, uri: str, models_dir: Path) -> Path:
    try:
        return locate(uri, document.path.parent, models_dir)
    except ConfigError as error:
        keys = ("spec", "predictor", "model", "storageUri")
        found = document.error(keys, f"storageUri {error}", error.hint)
        raise found from error
