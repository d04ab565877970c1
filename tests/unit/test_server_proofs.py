"""Proofs about the server that need more than one fault each: which provider runs which operators."""

from dataclasses import replace

from loadtest.evidence import ArtifactEvidence, RunEvidence, ServerState
from loadtest.proof import Proof
from loadtest.server_proofs import provider_fallback

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
MADE_FOR = ArtifactEvidence("ab" * 32, "cd" * 32, provider=CUDA)


def proof(nodes: dict[str, int], wanted: ArtifactEvidence = MADE_FOR) -> Proof:
    state = ServerState(identity="pid 17", address="ab" * 32, provider_nodes=nodes)
    return provider_fallback(RunEvidence(after=state, artifact=wanted))


def test_operators_that_engines_leave_on_the_cpu_are_no_fallback_where_the_variant_says_so() -> None:
    found = proof({CUDA: 39, CPU: 1})
    assert (found.ok, found.value, found.limit) == (False, 0.025, 0.0)
    assert found.evidence == f"39 of 40 operators run on {CUDA}, 1 on {CPU}"
    said = replace(MADE_FOR, beside=frozenset({CPU}))
    assert proof({CUDA: 39, CPU: 1}, said).ok
    assert proof({CUDA: 39, CPU: 1}, said).evidence.endswith(f"1 on {CPU}, as it says they may")
    # The control: it says nothing of yet another one, and with none elsewhere nothing needs saying.
    assert proof({CUDA: 38, CPU: 1, "Azure": 1}, said).ok is False
    assert proof({CUDA: 40}).ok


def test_an_int8_graph_that_computes_nothing_in_8_bits_says_what_it_lacks() -> None:
    found = proof({CUDA: 40}, replace(MADE_FOR, quantized=0))
    assert (found.ok, found.value, found.limit) == (False, 0, "one in 8 bits")
    assert found.evidence.endswith("its manifest counts 0 that compute in 8 bits")
    assert proof({CUDA: 40}, replace(MADE_FOR, quantized=12)).ok
