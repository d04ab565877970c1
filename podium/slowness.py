"""Why a variant is not faster: checks that read one signal each, say one sentence with its number, and name one change.

Pure. A check without its signal, or with one that is too weak to tell, says "unknown"; nothing is guessed. The numbers
and the order are those of the method, section 6.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Final, Literal

from podium.figures import milliseconds
from podium.signals import FirstRun, Memory, Sidecar

__all__ = ["CHECKS", "Curve", "Finding", "Symptoms", "diagnose", "slow_first_run"]

Outcome = Literal["cause", "healthy", "unknown"]

# An engine without one of these computes int8 in more steps than fp32 needs.
_INT8_FLAGS: Final = frozenset({"avx512_vnni", "avx_vnni", "amx_int8", "i8mm"})
_UNFUSED: Final = ("ConvInteger", "MatMulInteger", "DynamicQuantizeLinear", "DynamicQuantizeMatMul")
# Static quantization writes these in pairs for the engine to fuse with what stands between them.
_PAIRED: Final = ("QuantizeLinear", "DequantizeLinear")
# So few operators on another provider may be those of shapes and constants, which take next to no time.
_FEW_OPERATORS: Final = 0.1
_THROTTLED: Final = 0.01
_BATCH_ALONE: Final = 1.05
_BATCHED: Final = 2.0
_NO_WAIT_S: Final = 0.0005
_WAIT_S: Final = 0.001
_LEAST_ANSWERS: Final = 20
_LEAST_PARSE_S: Final = 0.0002
_LEAST_OUTSIDE_S: Final = 0.001
_FAR: Final = 0.1
# Of a new batch size: later runs that its first is held against, and how far beyond the slowest of them it must be.
_LEAST_LATER: Final = 3
_SLOWER_FIRST: Final = 1.5
_LEAST_FIRST_MS: Final = 2.0
_OWN_THREAD: Final = 0.5


@dataclass(frozen=True, slots=True)
class Curve:
    """The raw engine's median for one item, with its interval, in milliseconds."""

    p50_ms: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Symptoms:
    """What is known of a variant and its runs; None and empty are "not known".

    Attributes:
        variant: its id.
        void: names of the proofs that its runs are void by; empty where one of them is valid.
        precision: as the manifest has it.
        cpu_features: of the machine it ran on.
        ops: operators of the artifact's graph.
        engine: the raw engine's time for one item.
        engine_fp32: that of the same model and runtime in fp32.
        provider: that the artifact is to run on.
        providers: that the server said run it.
        threads: of the engine.
        cpus: cores that the server may use, the smaller of limit and affinity.
        periods: CPU periods of the server while it was loaded.
        throttled: those it was throttled in.
        p99_ms: of the hold.
        protocol: of the requests.
        answers: answers of the hold.
        stage_s: seconds that an answer of the hold spent in each stage, on average.
        alone_s: the same of a single stream, where nobody waits for anybody.
        mean_batch: mean size of the batches that the single stream ran in.
        wait_answers: answers of the single stream.
        loaded_batch: mean size of the batches under load.
        delay_s: how long a batch that is not full waits for more, as the server was told.
        provider_nodes: operators that each provider runs.
        sidecars: what stands between the server and its port; empty where nothing does.
        outside_s: seconds of an answer that passed outside the server, on average.
        memory: where its memory lies.
        first_runs: the first runs of each batch size.
    """

    variant: str
    void: tuple[str, ...] = ()
    precision: str | None = None
    cpu_features: frozenset[str] | None = None
    ops: Mapping[str, int] = field(default_factory=dict)
    engine: Curve | None = None
    engine_fp32: Curve | None = None
    provider: str | None = None
    providers: tuple[str, ...] = ()
    threads: int | None = None
    cpus: float | None = None
    periods: int | None = None
    throttled: int | None = None
    p99_ms: float | None = None
    protocol: str | None = None
    answers: int = 0
    stage_s: Mapping[str, float] = field(default_factory=dict)
    alone_s: Mapping[str, float] = field(default_factory=dict)
    mean_batch: float | None = None
    wait_answers: int = 0
    loaded_batch: float | None = None
    delay_s: float | None = None
    provider_nodes: Mapping[str, int] = field(default_factory=dict)
    sidecars: tuple[Sidecar, ...] | None = None
    outside_s: float | None = None
    memory: Memory | None = None
    first_runs: Mapping[int, FirstRun] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Finding:
    """How one check came out: its number in the method, one sentence, and for a cause one change."""

    number: int
    name: str
    outcome: Outcome
    sentence: str
    change: str = ""


def diagnose(symptoms: Symptoms) -> tuple[Finding, ...]:
    """Return what every check says, in the order of `CHECKS`."""
    return tuple(check(symptoms) for check in CHECKS)


def _int8_without_vnni(seen: Symptoms) -> Finding:
    number, name = 1, "no int8 instructions"
    if seen.precision is None:
        return Finding(number, name, "unknown", "the artifact is not in the store")
    if "int8" not in seen.precision:
        return Finding(number, name, "healthy", f"its precision is {seen.precision}")
    if seen.cpu_features is None:
        return Finding(number, name, "unknown", "the CPU's features are not on record")
    found = sorted(seen.cpu_features & _INT8_FLAGS)
    if found:
        return Finding(number, name, "healthy", f"this CPU has {', '.join(found)}")
    if seen.engine is None or seen.engine_fp32 is None:
        return Finding(number, name, "unknown", "this CPU has no VNNI, and int8 and fp32 were not benchmarked on it")
    ratio = seen.engine.p50_ms / seen.engine_fp32.p50_ms
    if seen.engine.low > seen.engine_fp32.high:
        sentence = f"int8 is {ratio:.2f} x slower than fp32: this CPU has no VNNI"
        return Finding(number, name, "cause", sentence, "serve fp32, or place it on a node class with VNNI")
    if seen.engine.high < seen.engine_fp32.low:
        return Finding(number, name, "healthy", f"int8 takes {ratio:.2f} of the time of fp32, even without VNNI")
    return Finding(number, name, "unknown", "this CPU has no VNNI, and int8 and fp32 are too close to tell")


def _unfused(seen: Symptoms) -> Finding:
    number, name = 2, "unfused quantization"
    if not seen.ops:
        return Finding(number, name, "unknown", "the operators of its graph are not on record")
    found = {op: seen.ops[op] for op in _UNFUSED if seen.ops.get(op)}
    paired = {op: seen.ops[op] for op in _PAIRED if seen.ops.get(op)}
    if not found and paired:
        sentence = f"how many of its {_listed(paired)} the engine fuses is not on record"
        return Finding(number, name, "unknown", sentence)
    if not found:
        return Finding(number, name, "healthy", "no operator of it quantizes while it runs")
    total = sum(found.values())
    return Finding(
        number,
        name,
        "cause",
        f"{total} of its {sum(seen.ops.values())} operators quantize while it runs ({_listed(found)})",
        "quantize it statically, per channel (recipe quantize-static), and convolutions never dynamically",
    )


def _listed(ops: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {op}" for op, count in ops.items())


def _fallback(seen: Symptoms) -> Finding:
    number, name = 3, "another provider"
    if seen.provider is None or not seen.providers:
        return Finding(number, name, "unknown", "which provider ran it is not on record")
    others = [one for one in seen.providers if one != seen.provider]
    if seen.providers[0] == seen.provider and seen.provider_nodes:
        return _assigned(number, name, seen.provider, seen.provider_nodes)
    if seen.providers[0] == seen.provider and others:
        sentence = f"what part of it ran on {seen.provider}, and what on {', '.join(others)}, is not on record"
        return Finding(number, name, "unknown", sentence)
    if seen.providers[0] == seen.provider:
        return Finding(number, name, "healthy", f"it ran on {seen.provider}")
    sentence = f"it was to run on {seen.provider}, and ran on {seen.providers[0]}"
    return Finding(number, name, "cause", sentence, f"install the provider {seen.provider}, or declare the other one")


def _assigned(number: int, name: str, wanted: str, nodes: Mapping[str, int]) -> Finding:
    """Judge by how many operators each provider runs."""
    total = sum(nodes.values())
    off = {provider: count for provider, count in nodes.items() if provider != wanted and count}
    if not off:
        return Finding(number, name, "healthy", f"all {total} operators of it ran on {wanted}")
    share = sum(off.values()) / total
    sentence = f"{sum(off.values())} of its {total} operators ran on {', '.join(off)} instead of {wanted}"
    if share <= _FEW_OPERATORS:
        return Finding(number, name, "unknown", f"{sentence}, and what time these take is not on record")
    change = f"change the operators that {wanted} lacks, or declare {next(iter(off))}"
    return Finding(number, name, "cause", sentence, change)


def _threads(seen: Symptoms) -> Finding:
    number, name = 4, "more threads than CPUs"
    if seen.threads is None or seen.cpus is None:
        return Finding(number, name, "unknown", "threads and CPUs of the server are not on record")
    sentence = f"{seen.threads} threads on {seen.cpus:g} CPUs"
    if seen.threads > max(1, int(seen.cpus)):
        return Finding(number, name, "cause", sentence, f"podium serve --cpus {max(1, int(seen.cpus))}")
    return Finding(number, name, "healthy", sentence)


def _throttled(seen: Symptoms) -> Finding:
    number, name = 5, "CPU throttling"
    if seen.periods is None or seen.throttled is None:
        return Finding(number, name, "unknown", "the server's control group counts no CPU periods")
    if seen.periods == 0:
        return Finding(number, name, "healthy", "no CPU limit is enforced on it")
    share = seen.throttled / seen.periods
    sentence = f"throttled in {share:.1%} of {seen.periods:,} periods"
    if share <= _THROTTLED:
        return Finding(number, name, "healthy", sentence)
    p99 = "" if seen.p99_ms is None else f", and its p99 was {milliseconds(seen.p99_ms)}"
    return Finding(number, name, "cause", sentence + p99, "give whole CPUs with requests = limits, or fewer threads")


def _sidecar(seen: Symptoms) -> Finding:
    number, name = 6, "starved sidecar"
    if seen.sidecars is None:
        return Finding(number, name, "unknown", "whether anything stands before it is not on record")
    if not seen.sidecars:
        return Finding(number, name, "healthy", "nothing stands between it and its port")
    spent = "" if seen.outside_s is None else f"; {seen.outside_s * 1e3:.3g} ms of an answer pass outside the server"
    counted = [(share, one) for one in seen.sidecars if (share := one.share) is not None]
    if not counted:
        names = ", ".join(one.name for one in seen.sidecars)
        return Finding(number, name, "unknown", f"whether {names} was throttled is not on record{spent}")
    share, worst = max(counted, key=lambda item: item[0])
    sentence = f"{worst.name} was throttled in {share:.1%} of {worst.periods:,} periods{spent}"
    if share <= _THROTTLED:
        return Finding(number, name, "healthy", sentence)
    if seen.outside_s is None or seen.outside_s < _LEAST_OUTSIDE_S:
        return Finding(number, name, "unknown", f"{sentence}, which costs an answer little or is not known to")
    return Finding(number, name, "cause", sentence, f"give {worst.name} CPU requests and no limit, or do without it")


def _parsing(seen: Symptoms) -> Finding:
    number, name = 7, "JSON larger than compute"
    if seen.protocol is None:
        return Finding(number, name, "unknown", "it was not loaded")
    if not seen.protocol.endswith("json"):
        return Finding(number, name, "healthy", f"its requests are {seen.protocol}, not JSON")
    if seen.answers < _LEAST_ANSWERS or not seen.stage_s:
        return Finding(number, name, "unknown", "the server's time split is not on record")
    parse, compute = seen.stage_s.get("decode", 0.0), seen.stage_s.get("compute", 0.0)
    sentence = f"parsing takes {parse * 1e3:.3g} ms, compute {compute * 1e3:.3g} ms"
    if parse > max(compute, _LEAST_PARSE_S):
        return Finding(number, name, "cause", sentence, "send V2 binary tensors, or the images as they are")
    return Finding(number, name, "healthy", sentence)


def _far_memory(seen: Symptoms) -> Finding:
    number, name, place = 8, "memory on the far socket", seen.memory
    if place is None:
        return Finding(number, name, "unknown", "where its memory lies is not on record")
    if place.nodes < 2:
        return Finding(number, name, "healthy", "the machine has one memory node")
    if place.cpu_nodes != 1:
        sentence = f"its CPUs are on {place.cpu_nodes} sockets, so that no memory is near all of them"
        return Finding(number, name, "unknown", sentence)
    total = place.near_bytes + place.far_bytes
    if not total:
        return Finding(number, name, "unknown", "where its memory lies is not on record")
    share = place.far_bytes / total
    sentence = f"{share:.0%} of its {total / (1 << 20):,.0f} MiB are on another socket than its CPUs"
    if share <= _FAR:
        return Finding(number, name, "healthy", sentence)
    change = "bind CPUs and memory to one socket: numactl --cpunodebind=0 --membind=0, or the node's NUMA policies"
    return Finding(number, name, "cause", sentence, change)


def _delay(seen: Symptoms) -> Finding:
    number, name = 9, "batcher waits for nobody"
    if seen.delay_s == 0:
        return Finding(number, name, "healthy", "no delay is set")
    if seen.mean_batch is None or seen.wait_answers < _LEAST_ANSWERS or not seen.alone_s:
        return Finding(number, name, "unknown", "a single stream with the server's time split is not on record")
    wait_s = seen.alone_s.get("queue", 0.0)
    sentence = f"mean batch {seen.mean_batch:.1f}, mean wait {wait_s * 1e6:,.0f} µs"
    if wait_s < _NO_WAIT_S or seen.mean_batch > _BATCH_ALONE:
        return Finding(number, name, "healthy", sentence)
    if seen.loaded_batch is not None and seen.loaded_batch > _BATCHED:
        return Finding(number, name, "healthy", f"{sentence} alone, and mean batch {seen.loaded_batch:.1f} under load")
    if wait_s >= max(_WAIT_S, 0.1 * seen.alone_s.get("compute", 0.0)):
        return Finding(number, name, "cause", f"{sentence}: the delay buys nothing", "podium serve --max-delay 0")
    return Finding(number, name, "unknown", f"{sentence}: too little to tell a delay from a busy machine")


def _compared(run: FirstRun) -> tuple[float, ...]:
    """Return the runs of a size by what tells best: the CPU's time where the engine computes in its own thread."""
    is_own = len(run.cpu_ms) == len(run.spent_ms) > 1
    return run.cpu_ms if is_own and median(run.cpu_ms[1:]) > _OWN_THREAD * min(run.spent_ms[1:]) else run.spent_ms


def slow_first_run(seen: Symptoms) -> tuple[int, float, float] | None:
    """Return the batch size that was new at run time and slow then, its first run and the middle of later ones, in ms.

    The one whose first run took longest; None where none was slow.
    """
    slow = []
    for size, run in seen.first_runs.items():
        first, *later = _compared(run)
        # Beyond every later one and not only beyond their middle: a machine that stutters does so at any run.
        if not run.is_warm and len(later) >= _LEAST_LATER:
            worst = max(later)
            if first > _SLOWER_FIRST * worst and first - worst >= _LEAST_FIRST_MS:
                slow.append((size, first, median(later)))
    return max(slow, key=lambda item: item[1], default=None)


def _new_shape(seen: Symptoms) -> Finding:
    number, name = 10, "a new batch shape"
    if not seen.first_runs:
        return Finding(number, name, "unknown", "the first runs of its batch sizes are not on record")
    new = {size: _compared(run) for size, run in seen.first_runs.items() if not run.is_warm}
    if not new:
        sizes = ", ".join(str(size) for size in sorted(seen.first_runs))
        return Finding(number, name, "healthy", f"each batch size that came ({sizes}) had run before it was ready")
    if all(len(spent) <= _LEAST_LATER for spent in new.values()):
        sizes = ", ".join(str(size) for size in sorted(new))
        return Finding(number, name, "unknown", f"new batch sizes ({sizes}) came too seldom to tell their first run")
    found = slow_first_run(seen)
    if found is None:
        return Finding(number, name, "healthy", "the first run of a new batch size took no longer than later ones")
    size, first, later = found
    sentence = f"the first run of batch {size} took {first:.3g} ms, later ones {later:.3g} ms"
    return Finding(number, name, "cause", sentence, "podium serve --warm every")


CHECKS: Final[tuple[Callable[[Symptoms], Finding], ...]] = (
    _int8_without_vnni,
    _unfused,
    _fallback,
    _threads,
    _throttled,
    _sidecar,
    _parsing,
    _far_memory,
    _delay,
    _new_shape,
)
