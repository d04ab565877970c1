"""What to do about a void run: one sentence for each proof of the passport. Words only.

What a proof measured stands in its evidence; here is what helps against what it found, whoever reads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["CURES", "cure_of"]

CURES: Final[Mapping[str, str]] = {
    "late": "keep other work off the generator's cores, or share the schedule among more generators",
    "under-offered": "share the schedule among more generators, or ask for a lower rate",
    "dropped": "give the generator more users: a longer time-out makes more of them, or more generators share them",
    "generator-limited": "give the generator more cores, or share the schedule among more generators",
    "co-located": "hold generator and server on cores of their own, or put the generator on another node",
    "wrong-clock": "synchronize the clocks of the generators' nodes, or load with one generator",
    "payload-drift": "put the payload files back as they were, or start a new race with the changed ones",
    "not-warm": "give the profile's warm-up more time (atMost), or look for what else uses the server's cores",
    "growing-queue": "ask for a lower rate, or give the server more cores: it does not keep up with this one",
    "inconsistent": "run it again on a machine whose clock and load are steady: its figures contradict each other",
    "unexplained-time": "look at what stands between generator and server: a proxy short of CPU, the network; "
    "or at what stops the server's process: its core, its memory",
    "throttled": "give the server whole CPUs with requests equal to limits, or fewer threads",
    "thread-mismatch": "serve with as many threads as CPUs: podium serve --cpus N, or the limit of the node class",
    "scaled": "freeze the replicas at one while it is measured: no autoscaler, no rollout",
    "restarted": "read why the server ended (its log, its memory limit, the node), and start it again",
    "misplaced": "let the node class's selector, tolerations and limits reach the pod, or correct the node class",
    "wrong-artifact": "deploy the planned artifact and image again, and let nothing else answer under its name",
    "preprocessing-skew": "build the artifact anew with this release, or serve it with the one that it was built with",
    "provider-fallback": "install the provider that the variant was made for, or build it for the one there is; "
    "what it leaves elsewhere on purpose stands in its manifest (runtime.options.beside)",
    "unbatched": "let nobody else send to the server, and check its --max-batch and --max-delay",
    "wrong-answers": "look what else answers there, and serve the artifact anew: it computes other answers",
    "errors-hidden": "let nobody else send to the server, and no proxy between send a request again",
}


def cure_of(check: str) -> str:
    """Return what to do about a run that is void by a proof; empty for one of another release."""
    return CURES.get(check, "")
