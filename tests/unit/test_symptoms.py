"""What `podium diagnose` reads: records, artifacts and benchmarks on disk, planted one by one."""

import json
from pathlib import Path
from typing import Any

import pytest

from loadtest.shot import Endpoint
from podium.bench import run_bench
from podium.benchplan import BenchPlan
from podium.cli import run
from podium.errors import UsageError
from podium.slowness import diagnose
from podium.symptoms import read_symptoms
from predictors.manifest import read_variant, write_variant
from predictors.measured import write_measured
from predictors.store import Store
from tests.artifacts import vector_artifact
from tests.loads import payloads
from tests.simulated import HOLD, SINGLE, SimulatedTarget, profile

BEFORE: dict[str, Any] = {
    "threads": 8,
    "cpu_limit": 2.0,
    "cores": [0],
    "providers": ["CPUExecutionProvider"],
    "cgroup": {"nr_periods": 100, "nr_throttled": 10},
    "stages": {"answers": 10.0, "decode": 0.1, "compute": 0.1, "queue": 0.1},
    "batches": {"1": 10},
}
AFTER: dict[str, Any] = {
    **BEFORE,
    "cgroup": {"nr_periods": 200, "nr_throttled": 40},
    "stages": {"answers": 110.0, "decode": 2.1, "compute": 0.6, "queue": 2.1},
    "batches": {"1": 90, "2": 10},
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with an fp32 artifact, and the same as a dynamically quantized int8 one."""
    store = Store(tmp_path / "store")
    for precision, after in (("fp32", {"Gemm": 1}), ("int8", {"ConvInteger": 3, "Gemm": 1})):
        folder = vector_artifact(tmp_path / precision)
        variant = read_variant(folder)
        ops = variant.ops.model_copy(update={"after": after})
        changed = variant.model_copy(update={"id": f"tiny-ort-{precision}", "precision": precision, "ops": ops})
        (folder / "variant.yaml").unlink()
        write_variant(folder, changed)
        store.put(folder)
    return store


def played(root: Path, address: str, *, before: dict[str, Any], after: dict[str, Any]) -> str:
    """Play a bench and put what its server said into the records."""
    plan = BenchPlan(
        endpoint=Endpoint("http://127.0.0.1:1", "v2-json", "model"),
        profile=profile(SINGLE, HOLD),
        payloads=payloads(root / "photos"),
        rate=40.0,
        slo=None,
        name="mine",
        runners=1,
        seed=5,
        runs=root / "runs",
        labels=(),
    )
    folder, _ = run_bench(plan, target=SimulatedTarget({"mine": 5.0}))
    for path in folder.glob("*/url/*.json"):
        record = json.loads(path.read_text())
        record["target"]["protocol"] = "v2-json"
        record.update(address=address, fingerprint="abc", server={"before": before, "after": after})
        path.write_text(json.dumps(record))
    bench = json.loads((folder / "bench.json").read_text())
    bench["environment"]["cpu_features"] = ["avx2"]
    (folder / "bench.json").write_text(json.dumps(bench))
    return folder.name


def test_everything_that_is_on_disk_is_read(tmp_path: Path, store: Store) -> None:
    int8, fp32 = store.find("tiny-ort-int8"), store.find("tiny-ort-fp32")
    for stored, p50_ms in ((int8, 2.0), (fp32, 1.0)):
        point = {"threads": 1, "batch": 1, "p50_ms": p50_ms, "low": p50_ms * 0.95, "high": p50_ms * 1.05}
        write_measured(stored.folder, "abc", engine=[{**point, "items_per_second": 1000 / p50_ms}])
    name = played(tmp_path, int8.address, before=BEFORE, after=AFTER)
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert (seen.precision, seen.cpu_features, seen.protocol) == ("int8", frozenset({"avx2"}), "v2-json")
    assert (seen.threads, seen.cpus) == (8, 1.0)
    # Five blocks of the hold, each with the same ends.
    assert (seen.periods, seen.throttled, seen.answers) == (500, 150, 500)
    assert seen.stage_s == pytest.approx({"decode": 0.02, "compute": 0.005, "queue": 0.02})
    assert seen.mean_batch == pytest.approx((80 + 20) / 90)
    assert seen.engine is not None
    assert seen.engine_fp32 is not None
    assert (seen.engine.p50_ms, seen.engine_fp32.p50_ms) == (2.0, 1.0)
    causes = {one.number for one in diagnose(seen) if one.outcome == "cause"}
    assert causes == {1, 2, 4, 5, 7}


def test_a_server_that_says_nothing_leaves_everything_unknown(tmp_path: Path, store: Store) -> None:
    name = played(tmp_path, "", before={}, after={})
    seen = read_symptoms(name, runs=tmp_path / "runs", store=store)
    assert (seen.precision, seen.threads, seen.periods, seen.stage_s, seen.mean_batch) == (None, None, None, {}, None)
    assert "cause" not in {one.outcome for one in diagnose(seen)}


def test_a_variant_of_the_store_is_looked_at_without_a_run(tmp_path: Path, store: Store) -> None:
    seen = read_symptoms("tiny-ort-int8", runs=tmp_path / "runs", store=store)
    assert [one.number for one in diagnose(seen) if one.outcome == "cause"] == [2]
    with pytest.raises(UsageError, match="no runs and no variant 'nothing'"):
        read_symptoms("nothing", runs=tmp_path / "runs", store=store)


def test_several_variants_have_to_be_told_apart(finished: Path, store: Store) -> None:
    with pytest.raises(UsageError, match="name one of them"):
        read_symptoms(finished.name, runs=finished.parent, store=store)


def test_the_command_prints_causes_with_their_change(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    name = played(tmp_path, store.find("tiny-ort-int8").address, before=BEFORE, after=AFTER)
    places = ["--runs", str(tmp_path / "runs"), "--store", str(tmp_path / "store")]
    assert run(["diagnose", name, *places]) == 0
    shown = capsys.readouterr().out
    assert "8 threads on 1 CPUs" in shown
    assert "podium serve --cpus 1" in shown
    assert run(["diagnose", name, *places, "-o", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["number"] for one in document["findings"]] == list(range(1, 11))
    assert run(["diagnose", "tiny-ort-fp32", *places]) == 0
    assert "no cause was found" in capsys.readouterr().out
    assert run(["diagnose", "nothing", *places]) == 2
