"""Which events belong to the time before `main`: the loader's and the C library's start-up.

It begins where a process starts or becomes another program, and ends at the first event of the program's own code.
Nothing in the stream says "main begins", so this is inferred from who made each event.
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from observer.model.events import Call, Event, Fault, Lost, Process, Signal, Site, Syscall
from observer.story.rows import Row

__all__ = ["Opening"]

_STARTUP: Final = frozenset(
    {"_start", "_init", "__libc_start_main", "__libc_csu_init", "frame_dummy", "register_tm_clones", "_dl_start"}
)


class Opening:
    """The start-up of one process, counted into one row."""

    def __init__(self) -> None:
        self.row: Row | None = None
        self.tally: Counter[tuple[str, str]] = Counter()

    def takes(self, event: Event) -> Row | None:
        """Return the start-up's row when it is begun by *event*; count *event* in."""
        kind = type(event).__struct_config__.tag
        self.tally[str(kind), _who(event)] += 1
        if self.row is None:
            self.row = Row(event, event, before_main=self.tally)
            return self.row
        self.row.last = event
        self.row.count += 1
        return None


def _who(event: Event) -> str:
    if isinstance(event, Syscall):
        return event.name
    return event.toucher if isinstance(event, Fault) else getattr(event, "op", "")


def is_programs_own(event: Event) -> bool:
    """Say whether *event* shows that the program's own code runs."""
    if isinstance(event, Call):
        # A call that the C library makes for a line of the program (printf's buffer) is the program's doing, too.
        return event.origin == "program" or _has_line(event.site)
    if isinstance(event, Fault):
        return event.toucher in ("program", "allocator") and not _is_startup(event.site)
    if isinstance(event, Syscall):
        return event.cause is not None or (_has_line(event.site) and not _is_startup(event.site))
    return isinstance(event, Signal | Process | Lost)


def _has_line(site: Site | None) -> bool:
    return site is not None and site.line is not None and not _is_system(site.module or "")


def _is_system(module: str) -> bool:
    return module.startswith(("ld-", "ld.so", "libc.so", "libc-", "ld-linux"))


def _is_startup(site: Site | None) -> bool:
    return site is not None and (site.function in _STARTUP or _is_system(site.module or ""))
