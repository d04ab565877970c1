"""The part of a profile whose rate changes: stages one after the other, or a recorded trace.

A rate is written as `40/s`, or as `150%` of the rate that is asked for, so that one profile fits a fast server and a
slow one. With a stage's `to` its rate rises or falls evenly; steps, spikes, staircases, ramps and a day's course are
lists of stages.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from loadtest.amounts import Duration
from loadtest.strict import StrictYaml

__all__ = ["Stage", "StageArrivals", "Trace", "TraceOrFile"]

StageArrivals = Literal["poisson", "constant", "gamma"]

_RATE = r"^[0-9]{1,6}(\.[0-9]{1,6})?(/s|%)$"
_PLAIN_CV = 2.0


class Stage(StrictYaml):
    """One stage of an elastic profile."""

    rate: str = Field(pattern=_RATE, description="Rate at its begin: 40/s, or 150% of the asked rate.")
    to: str | None = Field(default=None, pattern=_RATE, description="Rate at its end; the same all along without.")
    length_s: Duration = Field(alias="for", description="How long it lasts.")
    arrivals: StageArrivals = Field(default="poisson", description="Arrival process; gamma comes in bursts.")
    cv: float = Field(
        default=_PLAIN_CV,
        gt=0,
        le=10,
        description="Of the gaps of gamma arrivals: standard deviation over mean; 1 is Poisson, more are bursts.",
    )

    @model_validator(mode="after")
    def _cv_is_of_gamma(self) -> Self:
        if self.arrivals != "gamma" and self.cv != _PLAIN_CV:
            raise ValueError(f"cv is {self.cv:g}, and {self.arrivals} arrivals take none; write arrivals: gamma")
        return self

    @property
    def is_relative(self) -> bool:
        """Return whether a rate of it is a share of the asked one."""
        return self.rate.endswith("%") or (self.to is not None and self.to.endswith("%"))

    def rates(self, asked: float) -> tuple[float, float]:
        """Return the rates per second at its begin and at its end."""
        first = _per_second(self.rate, asked)
        return first, first if self.to is None else _per_second(self.to, asked)


class Trace(StrictYaml):
    """A recorded trace: a file with the seconds of an arrival on each line, ascending."""

    file: str = Field(min_length=1, description="Beside the profile.")
    speed: float = Field(default=1.0, gt=0, le=1000, description="2 plays it in half the time, at twice the rate.")
    rate: float = Field(default=1.0, gt=0, le=100, description="Times as many arrivals in the same time.")


def _named(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


TraceOrFile = Annotated[Trace, BeforeValidator(_named)]


def _per_second(text: str, asked: float) -> float:
    return float(text[:-1]) / 100 * asked if text.endswith("%") else float(text.removesuffix("/s"))
