"""The processor's counter beside CLOCK_MONOTONIC: what a record's counter says in nanoseconds.

It is x86-64's time-stamp counter, and AArch64's virtual counter (CNTVCT_EL0).

Reading the counter takes a program less time than asking for a clock, and needs no memory. Both run alike as long as
the kernel takes its time from that counter (/sys/devices/system/clocksource); it may still be speeding its clock up or
slowing it down a little (adjtimex(2)), so both are read together again and again, and lines drawn between.
"""

from __future__ import annotations

import ctypes
import mmap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from observer.linux.libc import libc

__all__ = ["TimeStamps", "counts_by_time_stamp"]

_CLOCKSOURCE: Final = Path("/sys/devices/system/clocksource/clocksource0/current_clocksource")
_BY_COUNTER: Final = frozenset({"tsc", "kvm-clock", "hyperv_clocksource_tsc_page"})
_OF_AARCH64: Final = "arch_sys_counter"
_FLAGS: Final = frozenset({"constant_tsc", "nonstop_tsc"})
_ATTEMPTS: Final = 5
_MOST_ATTEMPTS: Final = 50
_CLOSE: Final = 4000
"""Counts that reading both takes where nobody comes between; more of them, and it is tried again."""
_GAP: Final = 20_000_000
"""Nanoseconds between pairs that are kept: beyond the last, a line through two close ones would lead astray."""


def counts_by_time_stamp() -> bool:
    """Whether the kernel's clock is drawn from the counter, which then is the same on all processors."""
    try:
        source = _CLOCKSOURCE.read_text("ascii").strip()
        if source == _OF_AARCH64:
            return True
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            flags = next((line for line in file if line.startswith("flags")), "").split()
    except OSError:
        return False
    return source in _BY_COUNTER and {*flags} >= _FLAGS


class TimeStamps:
    """Pairs of (counter, nanoseconds) read together by *code*, whose function at *offset* is called in ourselves.

    Each later than the one before; *keep* is told of them. `sample` may be called by any thread.

    Raises:
        OSError: no memory can be made executable here.
    """

    def __init__(self, code: bytes, offset: int, keep: Callable[[int, int], object]) -> None:
        self._keep = keep
        self._lock = threading.Lock()
        self.last = (0, 0)
        self._page = mmap.mmap(-1, mmap.PAGESIZE)
        self._page.write(code)
        self._view = (ctypes.c_char * mmap.PAGESIZE).from_buffer(self._page)
        start = ctypes.addressof(self._view)
        # As it becomes executable the kernel has processors fetch what was written (AArch64's caches are not coherent).
        if libc.mprotect(ctypes.c_void_p(start), ctypes.c_size_t(mmap.PAGESIZE), mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "no memory can be made executable")
        self._sample = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(start + offset)
        self._clock = ctypes.cast(libc.clock_gettime, ctypes.c_void_p).value
        self._words = (ctypes.c_int64 * 3)()
        self.sample(is_last=True)

    def sample(self, *, is_last: bool = False) -> tuple[int, int]:
        """Read both once more, and return them: of a few readings the one that took the least time.

        They are kept if enough time has gone by, or if they are the last that will be.
        """
        with self._lock:
            best = self._read()
            for attempt in range(1, _MOST_ATTEMPTS):
                if attempt >= _ATTEMPTS and best[0] < _CLOSE:
                    break
                best = min(best, self._read())
            _took, counter, clock = best
            is_later = counter > self.last[0] and clock > self.last[1]
            if is_later and (is_last or clock - self.last[1] >= _GAP):
                self.last = counter, clock
                self._keep(*self.last)
            return counter, clock

    def _read(self) -> tuple[int, int, int]:
        """Return how long it took, the counter in the midst of that, and the clock."""
        self._sample(self._clock, ctypes.addressof(self._words))
        before, clock, after = self._words
        return after - before, before + (after - before) // 2, clock
