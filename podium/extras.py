"""The extras of the distribution: which modules each brings, and what cannot be done without it.

The base installation reads submissions, plans races and shows results. Everything that trains, serves or
loads is an extra, so that a serving image holds no training library.
"""

from dataclasses import dataclass
from importlib.util import find_spec

__all__ = ["EXTRAS", "Extra", "extra_of", "missing_modules"]


@dataclass(frozen=True, slots=True)
class Extra:
    """One extra: its own modules, the extras it includes, and what it is for."""

    name: str
    modules: tuple[str, ...]
    includes: tuple[str, ...]
    purpose: str


EXTRAS = {
    extra.name: extra
    for extra in (
        Extra("serve", ("orjson", "PIL", "prometheus_client", "uvloop"), (), "serve a variant"),
        Extra("serve-grpc", ("google",), ("serve",), "serve V2 over gRPC too"),
        Extra("serve-ort", ("onnxruntime",), ("serve",), "serve ort-fp32 and ort-int8"),
        Extra("serve-openvino", ("openvino",), ("serve",), "serve openvino-int8"),
        Extra("serve-torch", ("torch",), ("serve",), "serve torch-fp32"),
        Extra("serve-ray", ("ray",), ("serve-ort",), "serve ray-fp32, and build with --ray"),
        Extra("sign", ("cryptography",), (), "sign artifacts and check signatures"),
        Extra("cluster", ("kubernetes", "stamina"), (), "deploy and race on a cluster"),
        Extra("kserve", ("kserve",), ("serve",), "serve under KServe's own model server"),
        Extra("bench", ("hdrh", "jinja2", "PIL", "scipy"), (), "load-test, judge and report"),
        Extra(
            "build",
            ("nncf", "onnx", "onnxruntime", "onnxscript", "sklearn", "scipy", "torch_pruning"),
            ("serve-ort", "serve-openvino", "serve-torch"),
            "train models and build variants",
        ),
    )
}


def missing_modules(name: str) -> tuple[str, ...]:
    """Return the modules of an extra, and of those it includes, that are not installed; imports none."""
    extra = EXTRAS[name]
    own = tuple(module for module in extra.modules if find_spec(module) is None)
    return tuple(dict.fromkeys((*own, *(module for part in extra.includes for module in missing_modules(part)))))


def extra_of(module: str) -> str | None:
    """Return the smallest extra that brings a module, or None where no extra does."""
    root = module.partition(".")[0]
    return next((extra.name for extra in EXTRAS.values() if root in extra.modules), None)
