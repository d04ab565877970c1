"""A submission as it is kept: what a person wrote, without the values of variables that a container gets.

A race keeps its submission beside its figures, and reports are passed on: whoever writes a token into `env`, not into a
Secret must not find it there. Each value is taken out where it stands, so that comments and order stay.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

__all__ = ["HIDDEN", "shown_url", "without_values"]

HIDDEN = '"(not kept)"'
# What kubectl writes there is the whole document once more.
_COPIES = frozenset({"kubectl.kubernetes.io/last-applied-configuration"})
_LOGIN = re.compile(r"//[^/?#]*@")


def without_values(text: str) -> str:
    """Return a YAML text without the values of environment variables; one that is no YAML has none."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return ""
    spans = sorted(_spans(root), reverse=True) if root is not None else []
    for begin, end in spans:
        # The end of a block of lines is where the next key begins.
        tail = text[begin:end][len(text[begin:end].rstrip()) :]
        text = text[:begin] + HIDDEN + tail + text[end:]
    return text


def shown_url(url: str) -> str:
    """Return a URL as it may be shown: without name and password."""
    return _LOGIN.sub("//…@", url)


def _spans(node: yaml.Node) -> Iterator[tuple[int, int]]:
    """Yield where the values begin and end, in characters."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _spans(item)
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        if key.value in _COPIES:
            yield _span(value)
        elif key.value == "env" and isinstance(value, yaml.SequenceNode):
            yield from (_span(one) for variable in value.value for one in _literals(variable))
        else:
            yield from _spans(value)


def _literals(variable: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(variable, yaml.MappingNode):
        yield from (value for key, value in variable.value if key.value == "value")


def _span(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.index, node.end_mark.index
