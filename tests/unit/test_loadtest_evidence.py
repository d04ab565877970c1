"""Reading the server's state as evidence."""

import json

from loadtest.evidence import ServerState, server_state

STATE = {
    "variant": "food11-ort-int8",
    "address": "ab" * 32,
    "preprocessing_hash": "cd" * 32,
    "threads": 1,
    "cpu_limit": 1.0,
    "workers": 1,
    "batches": {"1": 90, "4": 10},
    "cgroup": {"nr_periods": 100, "nr_throttled": 3, "throttled_us": 1200},
    "requests": {"v1 200": 100, "v2 503": 28, "http 400": 2},
    "in_flight": 1,
    "image": "podium/predictor-ort:1",
    "provider_nodes": {"CPUExecutionProvider": 40},
    "stages": {"answers": 100.0, "decode": 0.5, "compute": 1.25},
    "pid": 17,
}


def test_the_state_of_the_contract_is_read_whole() -> None:
    document = json.loads(json.dumps(STATE))
    assert server_state(document, "pid 17") == ServerState(
        identity="pid 17",
        address="ab" * 32,
        preprocessing_hash="cd" * 32,
        threads=1,
        cpu_limit=1.0,
        batches={1: 90, 4: 10},
        nr_periods=100,
        nr_throttled=3,
        requests=130,
        in_flight=1,
        image="podium/predictor-ort:1",
        provider_nodes={"CPUExecutionProvider": 40},
        stages_s={"decode": 0.5, "compute": 1.25},
        staged=100,
    )


def test_what_the_server_does_not_know_stays_unknown() -> None:
    state = server_state(
        {**STATE, "cgroup": None, "preprocessing_hash": None, "cpu_limit": None, "batches": None, "threads": True}, "x"
    )
    assert state is not None
    assert (state.nr_periods, state.nr_throttled, state.preprocessing_hash) == (None, None, None)
    assert (state.cpu_limit, state.threads, state.batches) == (None, None, {})


def test_a_state_without_an_artifact_is_none() -> None:
    assert server_state({}, "x") is None
    assert server_state({"address": None}, "x") is None
