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


def chosen_stub(recorder: str, selection: Selection, snapshots: Collection[object]) -> Stub | None:
    """Return the code that records inside programs; None where *recorder* is another than `inline`.

    Not yet of itself: what a killed observer had not taken out of a program is lost, unlike what breakpoints recorded.

    Raises:
        CannotObserve: that cannot be.
    """
    if recorder != "inline":
        return None
    why = _why_not(selection, snapshots)
    if not why:
        try:
            return assembled()
        except (CannotLaunch, OSError) as error:
            why = str(error)
    raise CannotObserve("cannot record inside the program", why, "--recorder auto")


def _why_not(selection: Selection, snapshots: Collection[object]) -> str:
    if snapshots:
        return "--snapshot looks at the heap as calls return"
    if "library" in selection.instruments:
        return "-e library looks at the program's calls one by one"
    if not programs_read_thread_base():
        return "this kernel or processor does not let programs read their thread's base (FSGSBASE, Linux 5.9)"
    return "" if counts_by_time_stamp() else "the kernel's clock is not the processor's time-stamp counter"


def how_recorded(inline: InlineRecorder | None, calls: int, inside: int) -> str:
    """Say how so many *calls* were recorded, *inside* the program so many of them."""
    if inline is None or not inside:
        reasons = _reasons(inline) if inline is not None else []
        return f"{BREAKPOINTS} ({'; '.join(reasons)})" if reasons else BREAKPOINTS
    parts = [f"recorded inside the program ({inside:,})"]
    if calls > inside:
        parts.append(f"the others by breakpoints ({calls - inside:,})")
    parts += [f"{count} functions of {path} keep their breakpoints" for path, count in sorted(inline.kept.items())]
    return "; ".join(parts + _reasons(inline))


def _reasons(inline: InlineRecorder) -> list[str]:
    return [f"by breakpoints alone in {count} programs: {why}" for why, count in sorted(inline.refused.items())]
