"""Artifacts as candidates of a race: what their manifests say that the proofs of a run hold the server against.

Reads manifests only; what is served is for a target to say.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from loadtest.payloads import Answer, PayloadSet
from podium.nodeclass import NodeClass
from podium.targets.target import Candidate, Planned
from predictors.manifest import Variant, read_variant

__all__ = ["candidates", "planned"]

_FULL, _EIGHT = "fp32", "int8"
# How engines name what computes in 8 bits, or turns numbers into such: QLinearConv, ConvInteger, FakeQuantize.
_QUANTIZED = ("Quantize", "QLinear", "Integer")


def candidates(
    artifacts: Mapping[Path, str],
    node_class: NodeClass,
    *,
    payloads: PayloadSet | None = None,
    known: Mapping[Path, Mapping[str, int]] | None = None,
) -> list[Candidate]:
    """Return the candidates of a node class.

    The files of an int8 one must differ from those of each fp32 one of its engine.

    Args:
        artifacts: their folders and addresses.
        node_class: where they are to run.
        payloads: what will be sent.
        known: by folder, the class that an artifact is sure to find in a payload, by the payload's name.
    """
    variants = {folder: read_variant(folder) for folder in artifacts}
    return [
        Candidate(
            variant.id,
            node_class.name,
            artifacts[folder],
            folder,
            None if variant.preprocessing is None else variant.preprocessing.hash,
            replace(
                planned(variant),
                unlike={other.id: _model_digest(other) for other in variants.values() if _is_other(variant, other)},
                answers=_answers(variant, payloads, (known or {}).get(folder, {})),
            ),
        )
        for folder, variant in variants.items()
    ]


def planned(variant: Variant) -> Planned:
    """Return what a manifest says by itself of what will be served."""
    ops = variant.ops.after
    quantized = sum(count for name, count in ops.items() if any(part in name for part in _QUANTIZED))
    beside = variant.runtime.options.get("beside")
    return Planned(
        provider=variant.runtime.provider,
        beside=frozenset(map(str, beside)) if isinstance(beside, list) else frozenset(),
        quantized=quantized if ops and variant.precision == _EIGHT else None,
        file_digest=_model_digest(variant),
    )


def _answers(variant: Variant, payloads: PayloadSet | None, known: Mapping[str, int]) -> tuple[Answer | None, ...]:
    """Return the right answer to each payload; nothing where none is known, or a class has no label."""
    if payloads is None or not known or max(known.values()) >= len(variant.labels):
        return ()
    places = [known.get(path.stem) for path in payloads.files]
    return tuple(None if place is None else (place, variant.labels[place]) for place in places)


def _is_other(variant: Variant, other: Variant) -> bool:
    return (variant.precision, other.precision) == (_EIGHT, _FULL) and variant.runtime.name == other.runtime.name


def _model_digest(variant: Variant) -> str:
    """Name the files of a model by what they hold, without those of its golden answers."""
    golden = {*variant.golden.inputs.values(), *variant.golden.outputs.values()}
    listed = sorted((file.path, file.sha256) for file in variant.files if file.path not in golden)
    return hashlib.sha256("\n".join(f"{path} {digest}" for path, digest in listed).encode()).hexdigest()
