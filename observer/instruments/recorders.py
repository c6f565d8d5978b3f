"""How allocator calls are recorded: by breakpoints, or inside the program; and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from observer.errors import CannotLaunch, CannotObserve
from observer.instruments.faults import FaultInstrument
from observer.linux.features import programs_read_thread_base
from observer.linux.timestamps import counts_by_time_stamp
from observer.model.selection import Selection
from observer.recording.records import STACK_BYTES
from observer.tracee.inline.assembled import Stub, assembled
from observer.tracee.inline.recorder import InlineRecorder
from observer.tracee.inline.shapes import CALLERS_STACK

__all__ = ["BREAKPOINTS", "Recorder", "breakpoints", "chosen", "head_beside", "how_recorded"]

BREAKPOINTS = "breakpoints at the functions' beginnings and ends"
_ENOUGH: Final = 64
"""Calls of a process before it records for itself, where nobody has asked for that: their stops cost what changing
over does.
"""


@dataclass(frozen=True, slots=True)
class Recorder:
    """The code that records inside programs, from the call number `enough` on; or breakpoints, if there is none.

    `why` says why there are breakpoints that nobody has asked for.
    """

    stub: Stub | None
    why: str = ""
    enough: int = 1


def chosen(recorder: str, selection: Selection, snapshots: Collection[object], callers: int = 0) -> Recorder:
    """Return how calls are recorded where `auto`, `breakpoint` or `inline` is asked for: inside, where that can be.

    Where *callers* are kept more of the stack is looked at.

    Raises:
        CannotObserve: `inline` cannot be.
    """
    if recorder == "breakpoint":
        return Recorder(None)
    why = _why_not(selection, snapshots)
    if not why:
        try:
            return Recorder(
                assembled(stack=CALLERS_STACK if callers else STACK_BYTES),
                enough=1 if recorder == "inline" else _ENOUGH,
            )
        except (CannotLaunch, OSError) as error:
            why = str(error)
    return breakpoints(recorder, why)


def breakpoints(recorder: str, why: str) -> Recorder:
    """Return the breakpoints, which do where another *recorder* cannot be had, and *why*.

    Raises:
        CannotObserve: `inline` was asked for.
    """
    if recorder == "inline":
        raise CannotObserve("cannot record inside the program", why, "--recorder auto")
    return Recorder(None, why)


def _why_not(selection: Selection, snapshots: Collection[object]) -> str:
    if snapshots:
        return "--snapshot looks at the heap as calls return"
    if "library" in selection.instruments:
        return "-e library looks at the program's calls one by one"
    if not programs_read_thread_base():
        return "this kernel or processor does not let programs read their thread's base (FSGSBASE, Linux 5.9)"
    return "" if counts_by_time_stamp() else "the kernel's clock is not the processor's counter"


def head_beside(faults: FaultInstrument | None, *, times: bool) -> Callable[[int], int | None] | None:
    """Return what opens that by which a task's calls are told from its page *faults*; it gives None if none are seen.

    None where the clock alone tells: the *times* of all calls are asked for.
    """
    if times:
        return None
    return faults.head_of if faults is not None else _nothing


def _nothing(_tid: int) -> None:
    return None


def how_recorded(inline: InlineRecorder | None, calls: int, inside: int, why: str) -> str:
    """Say how so many *calls* were recorded, *inside* the program so many of them; *why* breakpoints were chosen."""
    if inline is None or not inside:
        reasons = _reasons(inline) if inline is not None else [why] if why else []
        return f"{BREAKPOINTS} ({'; '.join(reasons)})" if reasons else BREAKPOINTS
    parts = [f"recorded inside the program ({inside:,})"]
    if calls > inside:
        parts.append(f"the others by breakpoints ({calls - inside:,})")
    parts += [f"{count} functions of {path} keep their breakpoints" for path, count in sorted(inline.kept.items())]
    return "; ".join(parts + _reasons(inline))


def _reasons(inline: InlineRecorder) -> list[str]:
    return [f"by breakpoints alone in {count} programs: {why}" for why, count in sorted(inline.refused.items())]
