"""The layout of fault samples."""

from __future__ import annotations

import numpy as np
import pytest

from observer.linux.perf import FAULT_FIELDS, SampleLayout, _attributes


def test_the_fixed_part_is_as_long_as_its_fields() -> None:
    # header 8, id, ip, pid+tid, time, address: 5 * 8; register abi 8, five registers 40, size of the stack 8.
    assert SampleLayout.FIXED == 8 + 5 * 8 + 8 + 5 * 8 + 8 == np.dtype(FAULT_FIELDS).itemsize


@pytest.mark.parametrize(
    ("asked", "copied", "record"), [(0, 0, 104), (1, 8, 120), (8, 8, 120), (500, 504, 616), (512, 512, 624)]
)
def test_the_stack_is_copied_in_whole_words_and_its_true_length_follows(asked: int, copied: int, record: int) -> None:
    layout = SampleLayout(asked)
    assert (layout.stack_bytes, layout.record_bytes) == (copied, record)


def test_a_sample_fits_the_sixteen_bits_of_its_size() -> None:
    assert SampleLayout(512).record_bytes < 1 << 16


def test_the_fields_of_registers_are_those_that_the_kernel_is_asked_for() -> None:
    fields = [name for name, _type in FAULT_FIELDS if name.startswith("user_")]
    assert fields == ["user_bx", "user_bp", "user_sp", "user_ip", "user_cs"]
    asked = _attributes(2, period=1, sample_type=1 << 12, flags=0, read_format=0, stack=0, wakeup=0)
    assert int.from_bytes(asked[80:88], "little") == 1 << 1 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 10  # asm/perf_regs.h
