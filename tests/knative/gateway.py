"""Kourier's gateway from outside: a port of a node, with the name that is asked for in the Host header."""

import http.client
import json
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from predictors.golden import read_golden
from predictors.manifest import read_variant
from tests.cluster.conftest import Kubectl

__all__ = ["Answer", "Gateway", "Question"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0 where nothing did.

    Attributes:
        status: of HTTP.
        is_right: whether the outputs are the golden ones.
        sent_s: wall time of the sending, in seconds.
        seconds: from there to the last byte.
    """

    status: int
    is_right: bool
    sent_s: float
    seconds: float

    @property
    def answered_s(self) -> float:
        """Return the wall time of the last byte."""
        return self.sent_s + self.seconds


@dataclass(frozen=True, slots=True)
class Question:
    """An artifact's first golden item as a V2 request, and what answers it."""

    body: bytes
    outputs: dict[str, np.ndarray]
    rtol: float
    atol: float

    @classmethod
    def of(cls, artifact: Path) -> "Question":
        """Return the question of an artifact."""
        variant = read_variant(artifact)
        inputs, outputs = read_golden(artifact, variant)
        tensors = [
            {"name": name, "shape": [1, *values.shape[1:]], "datatype": "FP32", "data": values[:1].ravel().tolist()}
            for name, values in inputs.items()
        ]
        expected = {name: values[:1] for name, values in outputs.items()}
        return cls(json.dumps({"inputs": tensors}).encode(), expected, variant.golden.rtol, variant.golden.atol)

    def is_answered(self, body: bytes) -> bool:
        """Return whether a body holds the golden outputs."""
        try:
            told = {tensor["name"]: tensor["data"] for tensor in json.loads(body)["outputs"]}
        except (ValueError, KeyError, TypeError):
            return False
        return all(
            name in told and np.allclose(np.reshape(told[name], values.shape), values, rtol=self.rtol, atol=self.atol)
            for name, values in self.outputs.items()
        )


@dataclass(frozen=True, slots=True)
class Gateway:
    """Where the gateway listens."""

    host: str
    port: int

    @classmethod
    def of(cls, kubectl: Kubectl) -> "Gateway":
        """Return the gateway of a cluster."""
        service = kubectl.get("service", "kourier", "-n", "kourier-system")
        port = next(one["nodePort"] for one in service["spec"]["ports"] if one["name"] == "http2")
        node = kubectl.get("nodes", "-l", "node-role.kubernetes.io/control-plane")["items"][0]
        addresses = {one["type"]: one["address"] for one in node["status"]["addresses"]}
        return cls(addresses["InternalIP"], int(port))

    def ask(self, url: str, question: Question, *, timeout_s: float = 30.0) -> Answer:
        """Send one request, once, on a connection of its own."""
        asked = urlsplit(url)
        headers = {"Host": asked.netloc, "Content-Type": "application/json"}
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        sent_s, began = time.time(), time.monotonic()
        try:
            connection.request("POST", asked.path, question.body, headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            status, body = 0, b""
        finally:
            connection.close()
        seconds = time.monotonic() - began
        return Answer(status, status == 200 and question.is_answered(body), sent_s, seconds)
