"""KServe's deployment modes by name; it imports nothing that takes time, so that commands can offer them for free."""

from typing import Literal, TypeAlias

__all__ = ["Mode"]

Mode: TypeAlias = Literal["Standard", "Knative"]
