"""What is said where the database fails: the reason, and what gives more of what was scarce."""

from __future__ import annotations

import errno
import os

import pytest

from observer.errors import BadTrace
from observer.trace.database import database


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.ENOSPC, "free space on that disk; again"),
        (errno.EMFILE, "ulimit -n with a larger number"),
        (errno.EIO, "again"),
    ],
)
def test_what_was_scarce_is_named_before_the_next_attempt(number: int, remedy: str) -> None:
    with pytest.raises(BadTrace) as said, database("cannot write it", "again"):
        raise OSError(number, os.strerror(number))
    assert (said.value.why, said.value.remedy) == (os.strerror(number), remedy)
