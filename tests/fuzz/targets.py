"""What is fuzzed: each target takes bytes from anybody and may refuse them, and nothing else."""

import random
import struct
from collections.abc import Callable, Mapping

from predictors.errors import InputError
from predictors.imaging import Preprocessing, preprocessing
from predictors.server.head import HeadReader, HttpError, WireLimits
from predictors.server.inference import TensorReaders
from predictors.server.model import ServedModel
from predictors.server.receiver import Receiver
from predictors.server.rpc.contents import given_tensors
from predictors.server.rpc.messages import ModelInferRequest
from predictors.server.v1 import V1
from predictors.server.v2 import V2
from tests.artifacts import jpeg
from tests.contract.malformed.calls import good_call
from tests.contract.malformed.case import GOOD, message

__all__ = ["REFUSALS", "SEEDS", "Target", "mutated", "targets"]

Target = Callable[[bytes], object]
REFUSALS = (InputError, HttpError)
VALUES = struct.pack("<4f", 0, 1, 2, 3)
BINARY = b'{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}]}'
# What the searches begin with, and whatever they have found so far.
SEEDS: Mapping[str, tuple[bytes, ...]] = {
    "image": (jpeg(1), jpeg(2, form="PNG"), jpeg(3, form="WEBP")),
    "V2": (GOOD, b'{"id":"1","inputs":[{"name":"x","shape":[2,4],"datatype":"FP32","data":[[1,2,3,4],[5,6,7,8]]}]}'),
    "V1": (b'{"instances":[[0,1,2,3]]}', b'{"instances":[{"x":[0,1,2,3]}]}'),
    "binary": (BINARY + VALUES, BINARY + b"\x00" * 16),
    "gRPC": (good_call(), good_call(raw=False)),
    "HTTP": (message(), message(b"", "Transfer-Encoding: chunked", length=False) + b"4\r\nabcd\r\n0\r\n\r\n"),
}
_WORDS = (
    *(
        b"NaN",
        b"1e400",
        b"-1",
        b"9" * 20,
        b"null",
        b"true",
        b"[]",
        b"{}",
        b"\x00",
        b"\xff\xff\xff\xff",
        b'"',
        b"\\u0000",
    ),
    *(b"shape", b"BYTES", b"FP16", b"data", b"\r\n", b"\r\n\r\n", b"Content-Length: 5\r\n", b"\x80\x80\x80\x80\x08"),
)


def targets(vectors: ServedModel) -> dict[str, Target]:
    """Make the targets for a model of vectors."""
    images: Preprocessing = preprocessing("mnist-28", {})
    v1, v2 = V1(vectors, None), V2(vectors, None)
    readers = TensorReaders(vectors, None)
    reader = HeadReader(WireLimits())

    def call(raw: bytes) -> object:
        return readers.call(given_tensors(ModelInferRequest.FromString(raw)), lambda _: None, booleans=False)  # type: ignore[arg-type,return-value]

    return {
        "image": images.decode,
        "V2": lambda raw: v2.understand(raw, None),
        "V1": v1.json,
        "binary": lambda raw: v2.understand(raw, str(len(BINARY))),
        "gRPC": call,
        "HTTP": lambda raw: Receiver(reader).feed(raw),
    }


def mutated(data: bytes, chance: random.Random) -> bytes:
    """Change an input in a few places: bits, pieces doubled, cut or replaced, words that parsers care for."""
    found = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 4, 8))):
        place = chance.randrange(len(found) + 1)
        size = chance.choice((1, 1, 2, 4, 16, 64))
        match chance.randrange(6):
            case 0 if place < len(found):
                found[place] ^= 1 << chance.randrange(8)
            case 1:
                del found[place : place + size]
            case 2:
                found[place:place] = found[place : place + size]
            case 3:
                found[place : place + size] = chance.randbytes(size)
            case 4:
                found[place : place + chance.choice((0, 1, 4))] = chance.choice(_WORDS)
            case _:
                del found[place:]
    return bytes(found)
