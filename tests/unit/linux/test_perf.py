"""The layout of fault samples."""

from __future__ import annotations

import numpy as np
import pytest

from observer.arch.known import NATIVE
from observer.linux.perf import FAULT_FIELDS, SampleLayout, _attributes

# asm/perf_regs.h of each
ASKED = {
    "x86-64": {"user_bx": 1, "user_bp": 6, "user_sp": 7, "user_ip": 8},
    "aarch64": {"user_bp": 29, "user_bx": 30, "user_sp": 31, "user_ip": 32},
}[NATIVE.name]
FIXED = 8 + 5 * 8 + 8 + 8 * len(ASKED) + 8
"""Header 8, id, ip, pid+tid, time, address: 5 * 8; register abi 8, the registers, size of the stack 8."""


def test_the_fixed_part_is_as_long_as_its_fields() -> None:
    assert SampleLayout.FIXED == FIXED == np.dtype(FAULT_FIELDS).itemsize


@pytest.mark.parametrize(
    ("asked", "copied", "more"), [(0, 0, 0), (1, 8, 16), (8, 8, 16), (500, 504, 512), (512, 512, 520)]
)
def test_the_stack_is_copied_in_whole_words_and_its_true_length_follows(asked: int, copied: int, more: int) -> None:
    layout = SampleLayout(asked)
    assert (layout.stack_bytes, layout.record_bytes) == (copied, FIXED + more)


def test_a_sample_fits_the_sixteen_bits_of_its_size() -> None:
    assert SampleLayout(512).record_bytes < 1 << 16


def test_the_fields_of_registers_are_those_that_the_kernel_is_asked_for() -> None:
    assert [name for name, _type in FAULT_FIELDS if name.startswith("user_")] == list(ASKED)
    asked = _attributes(2, period=1, sample_type=1 << 12, flags=0, read_format=0, stack=0, wakeup=0)
    assert int.from_bytes(asked[80:88], "little") == sum(1 << number for number in ASKED.values())
