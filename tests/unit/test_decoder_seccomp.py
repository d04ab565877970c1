"""The filter of system calls, run by hand on numbers of the kernel's tables."""

import struct

import pytest

from predictors.server.decoder.seccomp import program

ALLOW, FAIL, KILL = 0x7FFF0000, 0x0005000D, 0x80000000
AMD64, ARM64 = 0xC000003E, 0xC00000B7


def judged(code: bytes, machine: int, number: int, third: int = 0) -> int:
    """Run the program on a system call as the kernel does."""
    lines = [struct.unpack_from("=HBBI", code, at) for at in range(0, len(code), 8)]
    data = struct.pack("=IIQ6Q", number, machine, 0, 0, 0, third, 0, 0, 0)
    at = held = 0
    while True:
        operation, if_true, if_false, value = lines[at]
        if operation == 0x06:
            return int(value)
        at += 1
        if operation == 0x20:
            (held,) = struct.unpack_from("=I", data, value)
        elif operation == 0x15:
            at += if_true if held == value else if_false
        else:
            assert operation == 0x45
            at += if_true if held & value else if_false


@pytest.mark.parametrize(
    ("name", "machine", "read", "open_file", "connect", "fork", "mmap", "kill"),
    [("x86_64", AMD64, 0, 257, 42, 56, 9, 62), ("aarch64", ARM64, 63, 56, 203, 220, 222, 129)],
)
def test_what_decodes_is_allowed_what_looks_fails_all_else_kills(
    name: str, machine: int, read: int, open_file: int, connect: int, fork: int, mmap: int, kill: int
) -> None:
    code = program(name)
    assert code is not None
    assert judged(code, machine, read) == ALLOW
    assert judged(code, machine, open_file) == FAIL
    assert judged(code, machine, mmap, 3) == ALLOW
    assert judged(code, machine, mmap, 7) == KILL
    for number in (connect, fork, kill, 10_000):
        assert judged(code, machine, number) == KILL


@pytest.mark.parametrize("name", ["x86_64", "aarch64"])
def test_few_calls_are_allowed_and_those_of_other_tables_none(name: str) -> None:
    code = program(name)
    assert code is not None
    machine = AMD64 if name == "x86_64" else ARM64
    allowed = [number for number in range(1000) if judged(code, machine, number) == ALLOW]
    assert len(allowed) == 24
    # The 32-bit tables of the same kernel, and those of the other machine.
    assert all(judged(code, 0x40000003, number) == KILL for number in range(1000))
    assert all(judged(code, machine, number | 0x40000000) == KILL for number in range(1000))


def test_other_machines_have_no_filter() -> None:
    assert program("riscv64") is None
