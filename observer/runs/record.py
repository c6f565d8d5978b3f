"""A whole run: recorded, and made into a trace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

from observer.instruments.session import Wish, told_to_nobody
from observer.model.machine import Meta
from observer.runs.recorded import recorded
from observer.trace.database import close_database
from observer.trace.finish import Listener, finish

__all__ = ["record_run", "record_uninterrupted"]


def record_run(
    wish: Wish, directory: Path, *, allow_loss: bool = False, replacing: Callable[[], None] | None = None,
    while_recording: Callable[[int, int], None] = told_to_nobody,
    while_finishing: Callable[[], AbstractContextManager[object]] = nullcontext, listeners: Sequence[Listener] = (),
) -> Meta:  # fmt: skip
    """Run the program and leave its finished trace in *directory*; return its meta.json.

    Args:
        allow_loss: whether the ledger need not balance; it is only noted.
        replacing: called when an older trace in *directory* has given way; None: whatever is there is refused.
        while_recording: told now and then, on another thread, how many events and bytes there are by now.
        while_finishing: entered when the program has ended, while the trace is made of its records.
        listeners: told of the run, one after the other, while the trace is made.

    Raises:
        BadTrace: the folder exists, cannot be written, was changed by somebody else while the program ran, or its
            records cannot be made into a trace; then they stay, for `Trace.open` to try again.
        CannotLaunch, CannotObserve: as `instruments.session.record`; then no folder is left.
        KeyboardInterrupt: the user interrupted what is done after the program's end; `Trace.open` can do it again.
    """
    close_database()
    made_of = recorded(wish, directory, replacing, while_recording, allow_loss=allow_loss)
    with while_finishing():
        return finish(*made_of, listeners)


def record_uninterrupted(wish: Wish, directory: Path) -> Meta:
    """Do as `record_run`, for a program that is of no use unless it ran to an end of its own.

    Raises:
        BadTrace, CannotLaunch, CannotObserve: as `record_run`.
        KeyboardInterrupt: the user interrupted; then the program has ended.
    """
    meta = record_run(wish, directory)
    if meta.totals.get("interrupts"):
        raise KeyboardInterrupt
    return meta
