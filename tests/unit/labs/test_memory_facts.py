"""Pages that went back, data that became code, pages of files, arenas of threads; of events made by hand."""

from __future__ import annotations

from observer.labs.program import Program
from observer.labs.values import Unknown
from observer.model.machine import Image
from tests.builders import HEAP, MAP, PAGE, PID, Script, machine, site
from tests.unit.labs.test_vocabulary import PATH, REFUSED, fact, program

MIB = 1 << 20
ARENA = 64 * MIB


def script() -> Script:
    run = Script()
    run.process("start", path=PATH)
    return run


def test_what_is_discarded_are_whole_pages_of_dontneed() -> None:
    run = script()
    run.syscall("madvise", MAP, 3 * PAGE, 4, site=site(7))
    run.syscall("madvise", MAP, 2 * PAGE + 1, 4, site=site(9))
    run.syscall("madvise", MAP, 5 * PAGE, 8, site=site(7))  # MADV_FREE: they stay until memory is short
    run.syscall("madvise", MAP, 5 * PAGE, 2, site=site(7))  # MADV_SEQUENTIAL
    run.syscall("madvise", MAP, 5 * PAGE, 4, site=site(7), result=-22, errno=22)
    run.syscall("madvise", MAP, 7 * PAGE, 4)  # the C library, of a thread's stack
    seen = program(run.events)
    assert fact("discards", line="story.c:7", of=seen) == 3 * PAGE
    assert fact("discards", of=seen) == 6 * PAGE


def test_executable_is_what_mmap_or_mprotect_opened() -> None:
    run = script()
    run.syscall("mprotect", MAP, 100, 5, site=site(7))
    run.syscall("mprotect", MAP, PAGE, 3, site=site(7))
    run.syscall("mmap", 0, 3 * PAGE, 7, 0x22, (1 << 64) - 1, 0, result=MAP, site=site(9))
    run.syscall("mprotect", MAP, PAGE, 7, site=site(9), result=-13, errno=13)
    run.syscall("mmap", 0, 9 * PAGE, 5, 2, 3, 0, result=MAP)  # the loader
    seen = program(run.events)
    assert fact("executable", line="story.c:7", of=seen) == PAGE
    assert fact("executable", of=seen) == 4 * PAGE


def files() -> Script:
    run = script()
    for page in range(5):
        run.fault(MAP + page * PAGE, mapping="/memfd:records (deleted)", site=site(7))
    run.fault(MAP, mapping=PATH, site=site(7))
    run.fault(MAP, mapping="/memfd:records (deleted)", site=site(9))
    run.fault(MAP, mapping="/memfd:records (deleted)", toucher="kernel", ring=0, site=site(7))
    run.fault(HEAP, site=site(7))
    run.fault(MAP, mapping="map#3", site=site(7))
    run.fault(MAP, mapping=None, site=site(7))
    return run


def test_faults_on_files_are_those_of_the_program_on_files_that_are_no_code() -> None:
    seen = program(files().events, images=(Image(PATH, 0, 0, PAGE),))
    assert fact("file_faults", line="story.c:7", of=seen) == 5
    assert fact("file_faults", of=seen) == 6


def test_faults_on_files_that_cannot_be_observed_are_unknown() -> None:
    assert isinstance(fact("file_faults", of=program(files().events, how=REFUSED)), Unknown)


def threads() -> Script:
    """Two threads' first mallocs: one asks for twice an arena, the next one finds the rest of that free."""
    run = script()
    first = run.call("malloc", 100, result=MAP, tid=PID + 1)
    run.syscall("mmap", 0, 2 * ARENA, 0, 0x4022, result=3 * ARENA + PAGE, cause=first, tid=PID + 1)
    run.syscall("munmap", 3 * ARENA + PAGE, ARENA - PAGE, cause=first, tid=PID + 1)
    run.syscall("mprotect", 4 * ARENA, 33 * PAGE, 3, cause=first, tid=PID + 1)
    second = run.call("malloc", 100, result=MAP, tid=PID + 2)
    run.syscall("mmap", 5 * ARENA, ARENA, 0, 0x4022, result=5 * ARENA, cause=second, tid=PID + 2)
    return run


def glibc(run: Script) -> Program:
    return program(run.events, machine=machine(libc_version="2.36"))


def test_an_arena_is_room_that_a_malloc_reserves() -> None:
    assert fact("arenas", of=glibc(threads())) == 2


def test_what_is_no_arena_is_not_counted() -> None:
    run = threads()
    run.syscall("mmap", 0, 2 * ARENA, 0, 0x4022, result=9 * ARENA)  # of no malloc
    inside = run.call("malloc", 2 * ARENA, result=MAP)
    run.syscall("mmap", 0, 2 * ARENA, 3, 0x22, result=12 * ARENA, cause=inside)  # a piece of its own
    run.syscall("mmap", 0, ARENA, 0, 0x4022, result=15 * ARENA + PAGE, cause=inside)  # not where it is needed
    run.syscall("mmap", 0, 2 * ARENA, 0, 0x4022, result=None, errno=12, cause=inside)
    run.process("fork", child=PID + 9)
    childs = run.call("malloc", 100, result=MAP, pid=PID + 9, tid=PID + 9)
    run.syscall("mmap", 0, 2 * ARENA, 0, 0x4022, result=21 * ARENA, cause=childs, pid=PID + 9, tid=PID + 9)
    assert fact("arenas", of=glibc(run)) == 2


def test_arenas_of_another_c_library_are_unknown() -> None:
    assert isinstance(fact("arenas", of=program(threads().events, machine=machine(libc_version=""))), Unknown)
