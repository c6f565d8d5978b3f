"""Layouts of records: one list of fields, for who writes them and who reads them."""

from __future__ import annotations

import numpy as np
import pytest

from observer.arch.architecture import Architecture
from observer.arch.known import ARCHITECTURES
from observer.code.captures import length_of, wanted_of
from observer.code.syscalls import table
from observer.recording.records import (
    ARGUMENT,
    ARGUMENT_BYTES,
    CALL,
    CALL_STACK,
    CLOCK,
    INLINE,
    LAYOUTS,
    LIBRARY_CALL,
    STACK_PIECE,
    SYSCALL,
    VERSION,
    Layout,
)


def test_what_is_packed_is_read_by_name() -> None:
    layout = Layout("x", began="u64", op="u16", flags="u16", number="u32", result="i64", bytes=8)
    raw = layout.packed.pack((1 << 64) - 1, 3, 5, 7, -11, b"ab")
    (record,) = np.frombuffer(raw, dtype=layout.dtype)
    numbers = {name: int(record[name]) for name in ("began", "op", "flags", "number", "result")}
    assert numbers == {"began": (1 << 64) - 1, "op": 3, "flags": 5, "number": 7, "result": -11}
    assert (record["bytes"].tobytes(), layout.size, layout.file) == (b"ab\0\0\0\0\0\0", 32, "x")


def test_a_type_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError):
        Layout("x", began="u128")


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.file)
def test_every_field_lies_where_c_puts_it(layout: Layout) -> None:
    fields = [(name, layout.dtype[name]) for name in layout.dtype.names or ()]
    assert np.dtype(fields, align=True) == layout.dtype
    assert layout.size == layout.dtype.itemsize


def test_a_layout_that_changes_has_another_version() -> None:
    assert VERSION == 5
    assert {layout.file: layout.packed.format for layout in LAYOUTS} == {
        "calls.bin": "<QQIIHHIQQQQQQQQ", "inline.bin": "<QQQQQII", "clock.bin": "<QQ", "syscalls.bin": "<QQIIIIQQQQQQqQQIIQ", "library.bin": "<QQIIIIQQQQ",
        "arguments.bin": "<QHHI160s", "stacks.bin": "<QQQQ3072s", "callers.bin": "<QQII512s",
    }  # fmt: skip
    layouts = (CALL, INLINE, CLOCK, SYSCALL, LIBRARY_CALL, ARGUMENT, STACK_PIECE, CALL_STACK)
    assert [" ".join(layout.dtype.names or ()) for layout in layouts] == [
        "began ended pid tid op flags inner a0 a1 a2 result ret sp stack implementation",
        "a0 a1 result ret sp function inner", "counter nanoseconds",
        "began ended pid tid number arch a0 a1 a2 a3 a4 a5 result ip sp cs flags stack",
        "began ended pid tid probe flags result site sp stack", "syscall index what length bytes", "time sp bp bx bytes",
        "time told count flags bytes",
    ]  # fmt: skip


@pytest.mark.parametrize("arch", ARCHITECTURES, ids=lambda arch: arch.name)
def test_whatever_an_argument_points_to_fits_into_its_record(arch: Architecture) -> None:
    most = [4096] * 6
    names = table(arch.calls.audit).values()
    lengths = [length_of(each, tuple(most), 4096) for name in names for each in wanted_of(name, arch.bits)]
    assert max(lengths) == ARGUMENT_BYTES
