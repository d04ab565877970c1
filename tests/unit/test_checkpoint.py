"""Checkpoint headers: whatever the bytes are, the answer is a list of tensors or one clear error."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from predictors import checkpoint
from predictors.errors import SourceError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["w", "dtype", "shape", "data_offsets"]), inner, max_size=4)
    ),
    max_leaves=12,
)


def written(path: Path, header: bytes, data: bytes = b"") -> Path:
    path.write_bytes(len(header).to_bytes(8, "little") + header + data)
    return path


def test_the_header_lists_types_and_shapes(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": np.zeros((2, 3), np.float16), "b": np.zeros(4)}, path, {"note": "kept out"})
    assert checkpoint.tensors(path) == {"a": ("F16", (2, 3)), "b": ("F64", (4,))}


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=64))
def test_bytes_that_are_no_checkpoint_are_refused(tmp_path: Path, body: bytes) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(body)
    with pytest.raises(SourceError, match=r"w\.safetensors"):
        checkpoint.tensors(path)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=JSON)
def test_any_json_as_a_header_is_read_or_refused(tmp_path: Path, header: object) -> None:
    path = written(tmp_path / "w.safetensors", json.dumps(header).encode())
    with contextlib.suppress(SourceError):
        found = checkpoint.tensors(path)
        assert all(isinstance(size, int) for _, shape in found.values() for size in shape)


def test_a_file_that_is_cut_or_longer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"a": np.zeros(8)}, path)
    whole = path.read_bytes()
    for body in (whole[:-1], whole + b"\0"):
        path.write_bytes(body)
        with pytest.raises(SourceError, match="cut off or has bytes too many"):
            checkpoint.tensors(path)


def test_a_folder_or_nothing_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none", tmp_path / "none" / "deeper"):
        with pytest.raises(SourceError, match="are missing"):
            checkpoint.tensors(path)


def test_a_header_of_absurd_length_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes((1 << 60).to_bytes(8, "little") + b"{}")
    with pytest.raises(SourceError, match="damaged"):
        checkpoint.tensors(path)
