"""What is handed out when: a shared graph is made once, a lost job is tried again, and a failure has a name."""

from collections.abc import Mapping

import pytest

from podium.builder import RefusedError
from podium.fanout import Job, Ledger, Outcome, jobs_of
from predictors.manifest import RecipeStep
from predictors.recipes.pipelines import RecipePlan


def recipe(name: str, *steps: str) -> RecipePlan:
    return RecipePlan(name, "ort", "fp32", tuple(RecipeStep(name=step) for step in steps))


SOURCE = recipe("torch", "torch-fp32")
GRAPH = recipe("graph", "export")
INT8 = recipe("int8", "export", "quantize-static")
INT8_TOO = recipe("int8too", "export", "openvino-int8")


def played(ledger: Ledger, answers: Mapping[str, Outcome] | None = None) -> list[list[str]]:
    """Do all that is ready at once, again and again; return the names of each round."""
    rounds = []
    while not ledger.is_over:
        now = ledger.ready()
        assert now
        rounds.append([job.name for job in now])
        for job in now:
            ledger.begin(job)
        for job in now:
            ledger.end(job, (answers or {}).get(job.name, Outcome(result={"name": job.name})))
    return rounds


def test_what_is_made_of_a_graph_waits_for_it() -> None:
    ledger = Ledger(jobs_of([SOURCE, INT8, GRAPH, INT8_TOO], None))
    assert played(ledger) == [["build:torch", "build:graph"], ["build:int8", "build:int8too"]]


def test_where_nobody_asks_for_the_graph_the_first_that_needs_it_makes_it() -> None:
    assert played(Ledger(jobs_of([INT8, INT8_TOO, SOURCE], None))) == [["build:int8", "build:torch"], ["build:int8too"]]


def test_a_variant_is_judged_when_it_and_the_source_are_there() -> None:
    jobs = jobs_of([GRAPH, INT8], SOURCE)
    assert [job.name for job in jobs] == [
        "build:torch",
        "build:graph",
        "build:int8",
        "judge:graph",
        "judge:int8",
        "payloads",
    ]
    assert played(Ledger(jobs)) == [
        ["build:torch", "build:graph", "payloads"],
        ["build:int8", "judge:graph"],
        ["judge:int8"],
    ]


def test_a_refusal_is_kept_and_what_needs_it_is_left_out() -> None:
    ledger = Ledger(jobs_of([SOURCE, GRAPH, INT8], SOURCE))
    rounds = played(ledger, {"build:graph": Outcome(refusal=("no such operator", "export it anew"))})
    # What waited for the graph tries itself, and says why it cannot.
    assert "build:int8" in rounds[1]
    assert not any("judge:graph" in names for names in rounds)
    for name in ("build:graph", "judge:graph"):
        job = next(job for job in ledger.jobs if job.name == name)
        with pytest.raises(RefusedError, match="no such operator") as caught:
            ledger.result(job)
        assert caught.value.hint == "export it anew"
    assert ledger.result(ledger.jobs[0]) == {"name": "build:torch"}


def test_a_lost_job_is_tried_three_times_and_then_named() -> None:
    job = Job("build:graph", "build", "graph")
    ledger = Ledger([job])
    tried = 0
    while ledger.ready():
        ledger.begin(job)
        tried += 1
        assert ledger.lose(job, "killed") == (tried < 3)
    assert tried == 3
    assert ledger.is_over
    with pytest.raises(RefusedError, match="ended 3 times: killed"):
        ledger.result(job)


def test_a_job_that_was_lost_once_may_still_succeed() -> None:
    job = Job("build:graph", "build", "graph")
    ledger = Ledger([job])
    ledger.begin(job)
    assert not ledger.ready()
    assert ledger.lose(job, "killed")
    assert played(ledger) == [["build:graph"]]
    assert ledger.failed == {}
