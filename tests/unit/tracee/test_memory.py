"""What is known of an address space whose mappings come and go."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

from observer.tracee.memory import Memory

PAGE = 4096


def test_of_breakpoints_that_were_mapped_over_the_last_are_remembered() -> None:
    memory = Memory(os.getpid())
    for page in range(10_000):
        point: Any = SimpleNamespace(is_copy=page % 2 == 1)
        memory.breakpoints[page * PAGE] = point
        memory.forget(page * PAGE, (page + 1) * PAGE)
    assert not memory.breakpoints
    assert len(memory.covered) == 4096
    assert list(memory.covered)[-1] == 9998 * PAGE
