"""What autoscalers watch, by name; it imports nothing that takes time, so that commands can offer it for free."""

from typing import Literal, TypeAlias

__all__ = ["KnativeMetric", "Metric"]

# Of an HPA.
Metric: TypeAlias = Literal["cpu", "in-flight", "rate"]
KnativeMetric: TypeAlias = Literal["concurrency", "rps"]
