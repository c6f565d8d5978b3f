"""The six steps and the rings, read off single events."""

from __future__ import annotations

import pytest

from observer.model.chapter import steps_of
from observer.model.events import ChunkRef
from observer.story.steps import is_step_six, rings_of, step_of
from tests.builders import HEAP, LIBC, MAP, call, fault, free, syscall


@pytest.mark.parametrize(
    ("op", "returned", "kernel_calls", "steps"),
    [
        ("malloc", True, 0, "1-5"),
        ("malloc", True, 1, "1-2-3-4-5"),
        ("calloc", True, 2, "1-2-3-4-5"),
        ("realloc", False, 1, "1-2-3"),
        ("malloc", False, 0, "1"),
        ("free", True, 0, None),
        ("free", True, 1, None),
        ("malloc_trim", True, 1, None),
    ],
)
def test_a_call_takes_these_steps(op: str, returned: bool, kernel_calls: int, steps: str | None) -> None:
    assert steps_of(op, returned, kernel_calls) == steps


def test_a_refused_malloc_never_comes_to_step_five() -> None:
    assert steps_of("malloc", True, 1, failed=True) == "1-2-3-4"
    assert steps_of("malloc", True, 0, failed=True) == "1"


def test_a_brk_inside_malloc_is_steps_two_to_four_and_inside_free_none() -> None:
    inside = syscall(2, "brk", HEAP, result=HEAP, cause=1)
    assert step_of(inside) == "2-3-4"
    assert step_of(inside, call(1)) == "2-3-4"
    assert step_of(inside, free(1, HEAP)) == ""
    assert step_of(syscall(2, "brk", HEAP, result=HEAP)) == ""
    assert step_of(syscall(2, "brk", HEAP, result=None, end_ns=None, cause=1)) == "2-3"


def test_only_faults_on_memory_that_malloc_manages_are_step_six() -> None:
    assert is_step_six(fault(1, HEAP))
    assert is_step_six(fault(1, MAP, toucher="allocator"))
    assert is_step_six(fault(1, MAP, chunk=ChunkRef(0, MAP, 9)))
    assert not is_step_six(fault(1, MAP, toucher="loader"))
    assert not is_step_six(fault(1, LIBC))


def test_a_fault_in_the_kernel_starts_in_ring_zero() -> None:
    assert rings_of(fault(1)) == "3→0→3"
    assert rings_of(fault(1, ring=0)) == "0→0"
    assert rings_of(syscall(1, "brk", 0)) == "3→0→3"
    assert rings_of(syscall(1, "exit_group", 0, result=None, end_ns=None)) == "3→0"
    assert rings_of(call(1)) == ""
