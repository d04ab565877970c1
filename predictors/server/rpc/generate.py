"""Writes `descriptors.py` from the `.proto` files: `python -m predictors.server.rpc.generate [--check]`.

It needs `grpcio-tools`, which only developers have; what it writes is checked in, so that no compiler is
needed to serve.
"""

import argparse
import base64
import sys
import tempfile
import textwrap
from collections.abc import Sequence
from pathlib import Path

__all__ = ["main", "written"]

_FOLDER = Path(__file__).parent
_PROTOS = ("health.proto", "open_inference.proto")
_TARGET = _FOLDER / "descriptors.py"
_HEAD = '''"""The compiled `.proto` files of this folder, written by `python -m predictors.server.rpc.generate`."""

import base64

__all__ = ["FILES"]

# Each is a serialized google.protobuf.FileDescriptorProto.
FILES = (
'''


def written() -> str:
    """Return what `descriptors.py` must hold."""
    from google.protobuf import descriptor_pb2
    from grpc_tools import protoc

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "set"
        code = protoc.main(["protoc", f"-I{_FOLDER}", f"--descriptor_set_out={target}", *_PROTOS])
        if code != 0:
            raise SystemExit(code)
        found = descriptor_pb2.FileDescriptorSet.FromString(target.read_bytes())
    parts = []
    for file in found.file:
        lines = textwrap.wrap(base64.b64encode(file.SerializeToString(deterministic=True)).decode(), 100)
        quoted = "\n".join(f'        "{line}"' for line in lines)
        parts.append(f"    # {file.name}\n    base64.b64decode(\n{quoted}\n    ),\n")
    return _HEAD + "".join(parts) + ")\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file, or with `--check` only tell whether it is up to date; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m predictors.server.rpc.generate", description="Compile the protos.")
    parser.add_argument("--check", action="store_true", help="change nothing; fail where the file is out of date")
    text = written()
    if parser.parse_args(arguments).check:
        if _TARGET.read_text(encoding="ascii") != text:
            sys.stderr.write(f"{_TARGET.name} is out of date: run python -m predictors.server.rpc.generate\n")
            return 1
        return 0
    _TARGET.write_text(text, encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main())
