"""The filter on AArch64, whose kernel has one table of calls that are observed."""

from __future__ import annotations

import pytest

from observer.arch.aarch64 import AARCH64
from observer.arch.known import NATIVE
from observer.linux.seccomp import build_filter
from tests.unit.linux.test_seccomp import ALLOW, CLONE_UNTRACED, CLONE_VM, ENOSYS, TRACE, answer

pytestmark = pytest.mark.skipif(NATIVE is not AARCH64, reason="the filter is made of this machine's numbers")
NATIVE_CALLS, AARCH32_CALLS = 0xC00000B7, 0x40000028
BRK, MMAP, READ, CLONE, CLONE3 = 214, 222, 63, 220, 435


@pytest.mark.parametrize(("number", "expected"), [(BRK, TRACE), (MMAP, TRACE), (READ, ALLOW), (0xFFFF_FFFF, ALLOW)])
def test_chosen_calls_stop_and_no_others(number: int, expected: str) -> None:
    assert answer(build_filter({BRK, MMAP}, ()), NATIVE_CALLS, number) == expected


def test_no_child_escapes() -> None:
    chosen = build_filter({BRK}, ())
    assert answer(chosen, NATIVE_CALLS, CLONE, CLONE_UNTRACED | CLONE_VM) == TRACE
    assert answer(chosen, NATIVE_CALLS, CLONE, CLONE_VM) == ALLOW
    assert answer(chosen, NATIVE_CALLS, CLONE3) == ENOSYS


def test_calls_of_32_bit_programs_are_let_through() -> None:
    assert {answer(build_filter(None, None), AARCH32_CALLS, number) for number in (0, BRK, CLONE3)} == {ALLOW}
