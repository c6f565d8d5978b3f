"""What the processor refused, by exception, reason and line; what the kernel resolved is none of it."""

from __future__ import annotations

import pytest

from observer.labs.language import BadExpression
from tests.builders import HEAP, PID, Script, site
from tests.unit.labs.test_vocabulary import PATH, fact, program


def refusals() -> Script:
    """Deeds of five children and what else comes with a signal or a fault."""
    run = Script()
    run.process("start", path=PATH)
    kinds = [
        ("SIGSEGV", "#GP", "privileged instruction", 7), ("SIGSEGV", "#PF", "kernel address", 9),
        ("SIGSEGV", "#PF", "read-only", 11), ("SIGSEGV", "#PF", "read-only", 13), ("SIGILL", "#UD", None, 13),
    ]  # fmt: skip
    for child, (name, exception, reason, line) in enumerate(kinds, PID + 1):
        run.process("fork", child=child)
        run.signal(name, exception=exception, reason=reason, site=site(line), pid=child, tid=child)
    run.signal("SIGCHLD", exception=None, reason=None, fatal=False, site=site(7))
    run.signal("SIGTERM", exception=None, reason=None, fatal=True, site=site(17))
    run.fault(HEAP, site=site(9))
    return run


def test_exceptions_are_counted_by_name_and_line() -> None:
    seen = program(refusals().events)
    assert fact("exceptions", of=seen) == 5
    assert [fact("exceptions", name, of=seen) for name in ("#GP", "#PF", "#UD", "#DE")] == [1, 3, 1, 0]
    assert fact("exceptions", "#PF", line="story.c:13", of=seen) == 1
    assert fact("exceptions", line="story.c:17", of=seen) == 0


def test_the_exception_of_a_line_is_its_first_one() -> None:
    seen = program(refusals().events)
    assert [fact("exception", line=f"story.c:{line}", of=seen) for line in (7, 13, 17)] == ["#GP", "#PF", "none"]


def test_refusals_are_counted_by_reason_and_line() -> None:
    seen = program(refusals().events)
    assert fact("refused", of=seen) == 4
    assert fact("refused", "read-only", of=seen) == 2
    assert fact("refused", "read-only", line="story.c:11", of=seen) == 1
    assert fact("refused", "non-canonical address", of=seen) == 0


def test_an_exception_or_a_reason_that_there_is_none_of_is_refused() -> None:
    with pytest.raises(BadExpression, match="name is one of #DE"):
        fact("exceptions", "GP")
    with pytest.raises(BadExpression, match="why is one of privileged instruction"):
        fact("refused", "readonly")


def test_crashes_are_counted_by_signal_and_line() -> None:
    seen = program(refusals().events)
    assert fact("crashes", of=seen) == 6
    assert [fact("crashes", name=name, of=seen) for name in ("SIGSEGV", "SIGILL", "SIGCHLD")] == [4, 1, 0]
    assert fact("crashes", line="story.c:13", name="SIGSEGV", of=seen) == 1
