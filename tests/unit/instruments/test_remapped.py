"""Which calls change mappings though they fail."""

from __future__ import annotations

import errno

import pytest

from observer.arch.known import NATIVE
from observer.instruments.remapped import is_partly_done

MMAP, MREMAP, MPROTECT, MUNMAP = NATIVE.numbers("mmap", "mremap", "mprotect", "munmap")
ANONYMOUS, FIXED, HUGE = 0x22, 0x10, 0x40000


@pytest.mark.parametrize(
    ("number", "flags", "result", "expected"),
    [
        (MMAP, ANONYMOUS | FIXED, -errno.ENOMEM, True),
        (MMAP, ANONYMOUS | FIXED, -errno.EINVAL, False),
        (MMAP, ANONYMOUS | HUGE, -errno.ENOMEM, False),
        (MREMAP, 0, -errno.ENOMEM, True),
        (MPROTECT, 0, -errno.ENOMEM, True),
        (MUNMAP, 0, -errno.ENOMEM, False),
    ],
)
def test_what_was_done_before_a_call_failed_stays_done(number: int, flags: int, result: int, expected: bool) -> None:
    assert is_partly_done(number, (0x7000_0000, 0x20_0000, 3, flags, 0, 0), result) is expected
