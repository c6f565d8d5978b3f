"""Names and numbers of system calls."""

from __future__ import annotations

import pytest

from observer.arch.architecture import Architecture
from observer.arch.known import ARCHITECTURES
from observer.code.prototypes import arity_of
from observer.code.syscalls import name_of, numbers_of, table

AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, X32_BIT = 0xC000003E, 0x40000003, 0x40000000


@pytest.mark.parametrize(
    ("number", "name"),
    [(9, "mmap"), (11, "munmap"), (12, "brk"), (25, "mremap"), (28, "madvise"), (45, "recvfrom"), (59, "execve"),
     (325, "mlock2"), (435, "clone3"), (440, "process_madvise"), (453, "map_shadow_stack"), (462, "mseal")],
)  # fmt: skip
def test_a_call_has_its_name(number: int, name: str) -> None:
    assert name_of(number, AUDIT_ARCH_X86_64) == name


@pytest.mark.parametrize(
    ("number", "name"),
    [(20, "getpid"), (45, "brk"), (90, "mmap"), (192, "mmap2"), (91, "munmap"), (355, "getrandom"), (359, "socket"),
     (403, "clock_gettime64"), (462, "mseal")],
)  # fmt: skip
def test_i386_has_numbers_of_its_own(number: int, name: str) -> None:
    assert name_of(number, AUDIT_ARCH_I386).removeprefix("old_") == name


def test_an_x32_number_has_the_name_of_the_call_behind_it() -> None:
    assert name_of(12 | X32_BIT, AUDIT_ARCH_X86_64) == "brk"


def test_a_number_that_no_table_has_is_its_own_name() -> None:
    assert name_of(4711, AUDIT_ARCH_X86_64) == "syscall_0x1267"


def test_names_have_the_numbers_of_their_architecture() -> None:
    names = frozenset({"brk", "mseal", "no_such_call"})
    assert numbers_of(names, AUDIT_ARCH_X86_64) == {12, 462}
    assert numbers_of(names, AUDIT_ARCH_I386) == {45, 462}


@pytest.mark.parametrize("known", ARCHITECTURES, ids=lambda known: known.name)
def test_the_calls_that_are_needed_by_name_have_the_kernels_numbers(known: Architecture) -> None:
    kernels = {name: number for number, name in table(known.calls.audit).items()}
    assert known.calls.numbers == {name: kernels[name] for name in known.calls.numbers}


@pytest.mark.parametrize("arch", [AUDIT_ARCH_X86_64, AUDIT_ARCH_I386])
def test_no_two_numbers_share_a_name(arch: int) -> None:
    names = list(table(arch).values())
    assert sorted({name for name in names if names.count(name) > 1}) == []


@pytest.mark.parametrize(
    ("name", "arguments"),
    [("brk", 1), ("munmap", 2), ("mprotect", 3), ("madvise", 3), ("mremap", 5), ("mmap", 6), ("mseal", 3), ("nothing", 6)],
)  # fmt: skip
def test_a_call_takes_as_many_arguments_as_its_prototype(name: str, arguments: int) -> None:
    assert arity_of(name) == arguments
