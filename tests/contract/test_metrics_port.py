"""The metrics port: what Prometheus scrapes, what a run's passport reads, and nothing that changes anything."""

import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families

from predictors.fingerprint import cpu_facts
from tests.contract.server import Server


def metrics(server: Server) -> dict[str, float]:
    text = server.ask("GET", "/metrics", port=server.metrics_port).body.decode()
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f"{key}={value}" for key, value in sorted(sample.labels.items()) if key != "variant")
            found[f"{sample.name}{{{labels}}}"] = sample.value
    return found


def test_answers_are_counted_by_protocol_and_code(server: Server) -> None:
    before = metrics(server)
    for _ in range(3):
        assert server.is_good()
    server.post_json("/v1/models/tiny:predict", {})
    after = metrics(server)
    good, bad = (f"podium_requests_total{{code={code},protocol=v1-json}}" for code in (200, 400))
    assert after[good] - before.get(good, 0) == 3
    assert after[bad] - before.get(bad, 0) == 1
    count = "podium_request_seconds_count{protocol=v1-json}"
    assert after[count] - before.get(count, 0) == 3
    assert after["podium_in_flight{}"] == 0


def test_the_stages_sum_to_the_requests(server: Server) -> None:
    for _ in range(5):
        assert server.is_good()
    found = metrics(server)
    stages = sum(value for name, value in found.items() if name.startswith("podium_stage_seconds_sum"))
    whole = sum(value for name, value in found.items() if name.startswith("podium_request_seconds_sum"))
    assert stages == pytest.approx(whole, rel=1e-6)
    assert found["podium_stage_seconds_sum{stage=send}"] > 0


def test_ten_thousand_names_make_no_series(server: Server) -> None:
    before = len(metrics(server))
    for number in range(200):
        server.ask("GET", f"/v2/models/m{number}/ready")
    assert len(metrics(server)) <= before + 1


def test_the_state_has_what_the_contract_says(server: Server) -> None:
    assert server.is_good()
    state = server.state()
    assert {
        "address",
        "image",
        "preprocessing_hash",
        "threads",
        "cpu_limit",
        "workers",
        "providers",
        "batches",
        "cgroup",
        "rss_bytes",
        "ready_parts",
        "stages",
        "cpu_s",
        "cpu_quota",
        "max_delay_s",
        "warm",
    } <= set(state)
    assert {name: state[name] for name in cpu_facts()} == cpu_facts()
    (provider,) = state["provider_nodes"]
    assert (provider, state["provider_nodes"][provider] > 0) == ("CPUExecutionProvider", True)
    assert state["memory"] is None or state["memory"]["nodes"] >= 1
    assert all(len(run["ms"]) <= 8 for run in state["first_runs"].values())
    assert {int(size) for size in state["first_runs"]} >= {1}
    assert (state["threads"], state["cpu_limit"], state["workers"]) == (1, 1.0, 1)
    assert state["providers"][0] == "CPUExecutionProvider"
    assert sum(state["batches"].values()) >= 1
    assert state["rss_bytes"] > 10 << 20
    assert state["stages"]["answers"] >= 1
    assert state["stages"]["compute"] > 0
    assert state["cpu_s"] > 0
    parts = state["ready_parts"]
    assert {"verify", "load", "golden", "warm_up", "total"} == set(parts)
    assert sum(value for name, value in parts.items() if name != "total") <= parts["total"]


def test_probes_and_refusals(server: Server) -> None:
    port = server.metrics_port
    assert server.ask("GET", "/healthz/live", port=port).status == 200
    assert server.ask("GET", "/healthz/ready", port=port).json == {"ready": True}
    assert server.ask("GET", "/v2/models/tiny/infer", port=port).status == 404
    assert server.ask("POST", "/metrics", b"", port=port).status == 405
    assert server.ask("POST", "/debug/state", b"x", port=port).status == 413


def test_serving_imports_no_engine_and_no_tool() -> None:
    script = "import sys, predictors.server.__main__; print(' '.join(sys.modules))"
    modules = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=200
    ).stdout.split()
    for name in ("torch", "ray", "onnx", "onnxruntime", "openvino", "scipy", "typer", "rich", "sklearn", "pandas"):
        assert name not in modules
