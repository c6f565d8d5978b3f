"""Which system calls came in through which gate, how much they moved, and what the vDSO answered instead."""

from __future__ import annotations

import msgspec
import pytest

from observer.labs.language import BadExpression
from observer.labs.values import Unknown
from tests.builders import HEAP, PID, Script, process_end, request, site
from tests.unit.labs.test_vocabulary import PATH, fact, program

RECORDED = request(syscalls=("brk", "clock_gettime", "getpid", "read"))


def script() -> Script:
    run = Script()
    run.process("start", path=PATH)
    return run


def asking() -> Script:
    """Three getpid through each of two gates at two lines, and one that the C library makes for itself."""
    run = script()
    for _ in range(3):
        run.syscall("getpid", result=PID, site=site(7))
        run.syscall("getpid", result=PID, site=site(9), gate="int80")
    run.syscall("clock_gettime", 5, HEAP, site=site(9))
    run.syscall("getpid", result=PID)
    return run


def test_system_calls_are_counted_by_gate_name_and_line() -> None:
    seen = program(asking().events, request=RECORDED)
    assert fact("gates", of=seen) == 7
    assert [fact("gates", gate, of=seen) for gate in ("syscall", "int80", "sysenter")] == [4, 3, 0]
    assert fact("gates", line="story.c:9", of=seen) == 4
    assert fact("gates", "int80", name="getpid", line="story.c:9", of=seen) == 3
    assert fact("gates", "syscall", name="getpid", of=seen) == 3


def test_the_gate_of_a_line_is_that_of_its_first_system_call() -> None:
    seen = program(asking().events, request=RECORDED)
    assert [fact("gate", line=f"story.c:{line}", of=seen) for line in (7, 9, 11)] == ["syscall", "int80", "none"]


def test_a_system_call_inside_a_call_of_the_allocator_is_the_lines_too() -> None:
    run = script()
    n = run.call("malloc", 7, result=HEAP, site=site(7))
    run.syscall("brk", 0, result=HEAP, cause=n, site=site(7))
    inner = run.call("malloc", 7, result=HEAP + 64, origin="libc", site=site(7))
    run.syscall("brk", 0, result=HEAP, cause=inner, site=site(7))
    assert fact("gates", line="story.c:7", of=program(run.events)) == 1


def test_a_gate_that_this_kernel_lacks_is_unknown_not_zero() -> None:
    run = script()
    run.signal("SIGSEGV", code=0x80, exception="#GP", instruction="int 0x80", reason="software interrupt", site=site(9))
    seen = program(run.events)
    assert isinstance(fact("gates", "int80", line="story.c:9", of=seen), Unknown)
    assert fact("gates", "syscall", of=seen) == 0
    another = script()
    another.signal("SIGTERM", exception=None, instruction="int 0x80", reason=None, fatal=False)
    another.signal("SIGSEGV", code=0x80, exception="#GP", instruction="int 0x81", reason="software interrupt")
    assert fact("gates", "int80", of=program(another.events)) == 0


def test_a_gate_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(BadExpression, match="gate is one of int80"):
        fact("gates", "int81")


@pytest.mark.parametrize("name", ["gates", "syscalls", "transfers"])
def test_what_was_not_recorded_is_refused_not_zero(name: str) -> None:
    seen = program(asking().events, request=RECORDED)
    with pytest.raises(BadExpression, match="write is not recorded: name it in lab"):
        fact(name, name="write", of=seen)
    everything = program(asking().events, request=request(syscalls=None))
    assert fact(name, name="write", of=everything) == 0


def test_bytes_that_moved_are_those_of_calls_that_succeeded() -> None:
    run = script()
    for result, errno in ((4096, None), (13, None), (0, None), (-11, 11), (None, None)):
        run.syscall("read", 3, HEAP, 4096, result=result, errno=errno, site=site(7))
    run.syscall("read", 3, HEAP, 5, result=5, site=site(9))
    run.syscall("read", 3, HEAP, 832, result=832)
    seen = program(run.events, request=RECORDED)
    assert fact("transfers", "read", line="story.c:7", of=seen) == 4109
    assert fact("transfers", "read", of=seen) == 4114


def timing() -> Script:
    """Five questions to the vDSO at two lines, of which it passes one on; and a call into the C library."""
    run = script()
    for line in (7, 7, 7, 9):
        run.library("__vdso_clock_gettime", module="[vdso]", site=site(line), crossings=None)
    passed_on = run.library("__vdso_clock_gettime", module="[vdso]", site=site(9), crossings=None)
    run.syscall("clock_gettime", 2, HEAP, site=site(9), within=passed_on)
    run.library("__vdso_time", module="[vdso]", site=site(9), crossings=None)
    run.library("clock_gettime", module="libc.so.6", site=site(9))
    return run


def test_the_vdso_answers_where_nothing_entered_the_kernel() -> None:
    seen = program(timing().events, request=RECORDED)
    assert fact("vdso", "clock_gettime", line="story.c:7", of=seen) == 3
    assert fact("vdso", "clock_gettime", line="story.c:9", of=seen) == 1
    assert fact("vdso", of=seen) == 5


def test_a_program_without_vdso_is_unknown_not_zero() -> None:
    end = process_end()
    bare = msgspec.structs.replace(end, mappings=tuple(each for each in end.mappings if each.path != "[vdso]"))
    assert isinstance(fact("vdso", of=program(timing().events, request=RECORDED, ends=(bare,))), Unknown)
    assert fact("vdso", of=program(timing().events, request=RECORDED, ends=())) == 5


def test_a_vdso_that_nobody_watched_is_refused() -> None:
    with pytest.raises(BadExpression, match="nothing of it is recorded"):
        fact("vdso", of=program(timing().events))
