"""Facts about what the processor refused: exceptions that ended in a signal, and why nothing would have helped."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from observer.arch.exceptions import EXCEPTIONS
from observer.labs.language import BadExpression
from observer.labs.program import Program, is_on
from observer.labs.values import Value
from observer.model.events import Signal
from observer.story.refusals import REASONS

__all__ = ["FACTS", "exception", "exceptions", "refused"]


def exceptions(program: Program, name: str = "", line: str = "") -> Value:
    """Exceptions *name* ("#GP", "#PF", "#UD" …) that ended in a signal; page faults that were resolved are none."""
    if name not in ("", *EXCEPTIONS):
        raise BadExpression(f"exceptions: name is one of {', '.join(EXCEPTIONS)}")
    return sum(name in ("", event.exception) for event in _raised(program, line))


def exception(program: Program, line: str = "") -> Value:
    """The name of the first exception that ended in a signal ("#GP"), or "none"."""
    return next((event.exception for event in _raised(program, line) if event.exception), "none")


def refused(program: Program, why: str = "", line: str = "") -> Value:
    """What the processor refused; *why*: "privileged instruction", "kernel address", "read-only", "null pointer" …"""
    if why not in ("", *REASONS):
        raise BadExpression(f"refused: why is one of {', '.join(REASONS)}")
    return sum(event.reason is not None and why in ("", event.reason) for event in _raised(program, line))


def _raised(program: Program, line: str) -> Iterator[Signal]:
    return (event for event in program.signals if event.exception is not None and is_on(event.site, line))


FACTS: Final = (exceptions, exception, refused)
