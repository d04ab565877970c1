"""The error tree of the load side: one root, one sentence, one remedy."""

import pytest

from loadtest import errors
from loadtest.errors import (
    GeneratorError,
    LoadtestError,
    PlanError,
    ProfileError,
    RecordError,
    ScheduleError,
    SloError,
    VoidRunError,
)


@pytest.mark.parametrize("kind", [PlanError, ScheduleError, GeneratorError, RecordError])
def test_an_error_reads_as_its_sentence_and_keeps_the_remedy_apart(kind: type[LoadtestError]) -> None:
    error = kind("the schedule is empty", "raise the rate")
    assert str(error) == error.sentence == "the schedule is empty"
    assert error.hint == "raise the rate"
    assert kind("alone").hint == ""


def test_errors_keep_their_fields() -> None:
    slo = SloError("rate>=0/s", "a rate must be above zero", "write rate>=40/s", position=14)
    assert (slo.clause, slo.position, str(slo)) == ("rate>=0/s", 14, "a rate must be above zero")
    profile = ProfileError("my.yaml:3", "unknown key 'x'")
    assert (profile.place, str(profile)) == ("my.yaml:3", "my.yaml:3: unknown key 'x'")
    void = VoidRunError("late", "the run is void:late")
    assert (void.name, str(void), void.hint) == ("late", "the run is void:late", "")


def test_plan_errors_are_told_from_failures_of_the_run() -> None:
    of_the_plan: set[type[LoadtestError]] = {SloError, ProfileError, ScheduleError}
    of_the_run: set[type[LoadtestError]] = {GeneratorError, VoidRunError, RecordError}
    assert all(issubclass(kind, PlanError) for kind in of_the_plan)
    assert not any(issubclass(kind, PlanError) for kind in of_the_run)


def test_every_error_of_the_module_is_public_and_has_the_one_root() -> None:
    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert kinds == set(errors.__all__)
    assert all(issubclass(getattr(errors, name), LoadtestError) for name in kinds)
    assert all(name in (errors.__doc__ or "") for name in kinds)
