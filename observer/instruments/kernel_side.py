"""The kernel's side of a run: when it began to handle each page fault, the page frames it allocated, its system calls.

Five tracepoints of the process tree, by perf_event_open(2), one ring a processor. Where a handling ends, and whose it
was, is found afterwards (`trace.kernel_side`): the fault sample itself is taken when handle_mm_fault is done
(mm_account_fault, mm/memory.c), and raw_syscalls:sys_enter and sys_exit lie behind and before our own stops
(syscall_trace_enter, syscall_exit_work, kernel/entry/common.c), so that their difference is the kernel's time alone.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from observer.errors import CannotObserve
from observer.files import Folder, NewFile
from observer.instruments.bcc import BccWitness
from observer.instruments.rings import Rings
from observer.linux.perf import PERF_RECORD_SAMPLE, RAW_FIELDS, Counter, open_tracepoint
from observer.linux.tracefs import MOUNTS, Format, format_of
from observer.recording.notes import Tracepoint

__all__ = ["PERF_RECORD_SAMPLE", "RAW_FIELDS", "KernelSide", "formats", "refusal"]

_POINTS: Final = (
    "exceptions:page_fault_user", "exceptions:page_fault_kernel", "kmem:mm_page_alloc", "raw_syscalls:sys_enter",
    "raw_syscalls:sys_exit",
)  # fmt: skip
_OF_SYSCALLS: Final = "raw_syscalls:"
_RING_PAGES: Final = (2048, 1024, 512, 256, 128, 64, 32)
_LONGEST_FILTER: Final = 2048  # the kernel takes a page at most
_LOCKDOWN: Final = Path("/sys/kernel/security/lockdown")


class KernelSide:
    """The tracepoints of a process tree.

    *numbers* are the system calls that are recorded, in the tables of all architectures; None: all. *witness* is asked
    beside them.
    """

    def __init__(self, folder: Folder, numbers: frozenset[int] | None, witness: BccWitness | None = None) -> None:
        self.witness = witness
        self._rings = Rings(folder, "kernel")
        self._asks_syscalls = numbers != frozenset()
        self._only = _filter(numbers)
        self._started = False

    @property
    def files(self) -> list[NewFile]:
        """What the samples were written to."""
        return [*self._rings.files, *(self.witness.files if self.witness is not None else ())]

    @property
    def error(self) -> OSError | None:
        """Why samples could not be written; None if all were."""
        return self._rings.error or (self.witness.error if self.witness is not None else None)

    def prepare(self) -> None:
        """Begin what takes long before the program does."""
        if self.witness is not None:
            self.witness.prepare()

    def settle(self) -> None:
        """Wait for what was begun: none of its time is the program's."""
        if self.witness is not None:
            self.witness.settle()

    def start(self, tid: int) -> list[Tracepoint]:
        """Open the tracepoints on the stopped task *tid*; its future threads and children are included.

        Returns what is to be noted of them.

        Raises:
            CannotObserve: tracefs or perf_event_open(2) refuses them to this user, or the kernel has none such.
        """
        try:
            points = formats(syscalls=self._asks_syscalls)
            self._rings.begin()
            self._rings.make(_RING_PAGES)
            self._rings.take_in(partial(self._openers, tid, points))
        except (OSError, RuntimeError) as error:  # RuntimeError: no further thread
            self._rings.give_up()
            raise refusal(error) from error
        self._started = True
        if self.witness is not None:
            self.witness.follow(tid)
        return [self._note(place, name, found) for place, (name, found) in enumerate(points.items())]

    def _note(self, place: int, name: str, found: Format) -> Tracepoint:
        fields = {field: (where.offset, where.size) for field, where in found.fields.items()}
        return Tracepoint(
            t=time.monotonic_ns(), name=name, ids=self._rings.ids(place), fields=fields, flags=found.flags
        )  # fmt: skip

    def _openers(self, tid: int, points: dict[str, Format], processor: int) -> list[Callable[[], Counter]]:
        return [
            partial(
                open_tracepoint, found.number, tid, processor, only=self._only if name.startswith(_OF_SYSCALLS) else ""
            )
            for name, found in points.items()
        ]  # fmt: skip

    def relieve(self) -> None:
        """Make room in the rings if they are about to be full."""
        if self._started:
            self._rings.relieve()

    def stop(self) -> dict[str, int]:
        """Empty the rings for the last time and close them; return what the kernel counted, for the totals."""
        counts, lost = self._rings.stop()
        told = self.witness.stop() if self.witness is not None else {}
        if not self._started:
            return {}
        return {"kernel_events_counted": sum(counts), "kernel_events_lost": lost, **told}


def formats(*, syscalls: bool = True) -> dict[str, Format]:
    """Return the formats of the tracepoints by their names, those of *syscalls* if the kernel has them.

    Raises:
        OSError: as `tracefs.format_of`.
    """
    found = {}
    for name in _POINTS if syscalls else [name for name in _POINTS if not name.startswith(_OF_SYSCALLS)]:
        try:
            found[name] = format_of(name)
        except FileNotFoundError:
            if not name.startswith(_OF_SYSCALLS):
                raise
    return found


def refusal(error: OSError | RuntimeError) -> CannotObserve:
    """Say why the kernel's side cannot be seen, and what to try."""
    what = "cannot see the kernel's side"
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENODEV:
        return CannotObserve(what, "tracefs is not mounted", f"sudo mount -t tracefs tracefs {MOUNTS[0]}")
    if number == errno.ENOENT:
        return CannotObserve(what, f"this kernel has no tracepoint {_name_of(error)}", "a kernel with CONFIG_FTRACE")
    if number in (errno.EACCES, errno.EPERM):
        return _forbidden(what, error)
    return CannotObserve(what, f"no file or thread for its samples: {error}", "raise ulimit -n, -u and -v")


def _name_of(error: OSError | RuntimeError) -> str:
    path = Path(str(getattr(error, "filename", "") or "?"))
    return ":".join(path.parts[-3:-1])


def _forbidden(what: str, error: OSError | RuntimeError) -> CannotObserve:
    if _is_locked_down():
        return CannotObserve(what, "the kernel is locked down (confidentiality)", "boot without lockdown")
    door = "tracefs" if getattr(error, "filename", None) else "perf_event_open"
    why = f"{door}: {getattr(error, 'strerror', None) or error}"
    if os.geteuid() == 0:
        return CannotObserve(what, why, "start the container with --cap-add=SYS_ADMIN or PERFMON")
    return CannotObserve(what, why, "sudo observer run -e kernel …")


def _is_locked_down() -> bool:
    try:
        return "[confidentiality]" in _LOCKDOWN.read_text(encoding="ascii")
    except OSError:
        return False


def _filter(numbers: frozenset[int] | None) -> str:
    """Return a filter for the system calls with these *numbers*, empty for all and for more than a filter may name."""
    terms = " || ".join(f"id == {number}" for number in sorted(numbers or ()))
    return terms if len(terms) <= _LONGEST_FILTER else ""
