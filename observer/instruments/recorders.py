"""How allocator calls are recorded: by breakpoints, or inside the program; and what is said of it."""

from __future__ import annotations

from collections.abc import Collection

from observer.errors import CannotLaunch, CannotObserve
from observer.linux.features import programs_read_thread_base
from observer.linux.timestamps import counts_by_time_stamp
from observer.model.selection import Selection
from observer.tracee.inline.assembled import Stub, assembled
from observer.tracee.inline.recorder import InlineRecorder

__all__ = ["BREAKPOINTS", "chosen_stub", "how_recorded"]

BREAKPOINTS = "breakpoints at the functions' beginnings and ends"


def chosen_stub(recorder: str, selection: Selection, snapshots: Collection[object]) -> tuple[Stub | None, str]:
    """Return the code that records inside programs, or None and why breakpoints record alone.

    Raises:
        CannotObserve: *recorder* is `inline`, and that cannot be.
    """
    if recorder == "breakpoint":
        return None, ""
    stub, why = None, _why_not(selection, snapshots)
    if not why:
        try:
            stub = assembled()
        except (CannotLaunch, OSError) as error:
            why = str(error)
    if recorder == "inline" and why:
        raise CannotObserve("cannot record inside the program", why, "--recorder auto")
    return stub, why


def _why_not(selection: Selection, snapshots: Collection[object]) -> str:
    if snapshots:
        return "--snapshot looks at the heap as calls return"
    if "library" in selection.instruments:
        return "-e library looks at the program's calls one by one"
    if not programs_read_thread_base():
        return "this kernel or processor does not let programs read their thread's base (FSGSBASE, Linux 5.9)"
    return "" if counts_by_time_stamp() else "the kernel's clock is not the processor's time-stamp counter"


def how_recorded(inline: InlineRecorder | None, why_not: str, calls: int, inside: int) -> str:
    """Say how so many *calls* were recorded, *inside* the program so many of them."""
    if inline is None or not inside:
        reasons = [why_not] if why_not else [] if inline is None else _reasons(inline)
        return f"{BREAKPOINTS} ({'; '.join(reasons)})" if reasons else BREAKPOINTS
    parts = [f"recorded inside the program ({inside:,})"]
    if calls > inside:
        parts.append(f"the others by breakpoints ({calls - inside:,})")
    parts += [f"{count} functions of {path} keep their breakpoints" for path, count in sorted(inline.kept.items())]
    return "; ".join(parts + _reasons(inline))


def _reasons(inline: InlineRecorder) -> list[str]:
    return [f"by breakpoints alone in {count} programs: {why}" for why, count in sorted(inline.refused.items())]
