"""What a program's memory came to under one allocator: as the kernel counted it, and as its own events tell it."""

from __future__ import annotations

import statistics

import msgspec

__all__ = ["Conduct", "LightRun", "Trial"]


class LightRun(msgspec.Struct, frozen=True):
    """One run that was only timed and read at its end. Sizes are bytes, times seconds.

    `faults` are the minor and major page faults of the whole tree of processes since the program's exec. The sizes
    are those of one process, the one whose peak was the highest: its peak (VmHWM of proc(5)), its resident bytes and
    its mapped bytes when it ended, and the most that it had mapped (VmPeak). Adding up processes would count what
    they share twice, and peaks that did not come at the same time. `seconds` is the wall time from the exec to the
    last stop of the first process, `cpu_seconds` what all processes used. `status` is `exit 0` or the signal's name.
    """

    faults: int
    peak_resident_bytes: int
    end_resident_bytes: int
    mapped_bytes: int
    peak_mapped_bytes: int
    seconds: float
    cpu_seconds: float
    processes: int
    status: str


class Conduct(msgspec.Struct, frozen=True):
    """What an allocator did in one recorded run. Sizes are bytes.

    `calls` (without those that the allocator's library makes for itself) and `syscalls` count all processes;
    `own_syscalls` are those made inside an allocator call or by the allocator's library. What follows is about one
    process, the one in which most bytes were live. *Live* is what the program has asked for and not given back; *held*
    are the resident pages of memory that the allocator took from the kernel. `wasted` is what was held and lay in no
    live piece at the last moment when most was live; None where pages were held and no call was seen. `break_grown`
    and `break_shrunk` are bytes by which the break moved, `mapped` and `unmapped` those of mmap and munmap. `largest`
    is the longest single mmap, `largest_resident` the most that was resident of it. `returned` says for each madvise
    advice how many resident bytes it was given for.
    """

    calls: dict[str, int]
    syscalls: dict[str, int]
    own_syscalls: dict[str, int]
    live_peak: int = 0
    live_end: int = 0
    held_at_peak: int = 0
    held_peak: int = 0
    held_end: int = 0
    wasted: int | None = None
    break_moves: int = 0
    break_grown: int = 0
    break_shrunk: int = 0
    maps: int = 0
    mapped: int = 0
    unmapped: int = 0
    largest: int = 0
    largest_resident: int = 0
    returned: dict[str, int] = {}


class Trial(msgspec.Struct, frozen=True):
    """A program under one allocator: one recorded run, and `runs` light ones in the order of the rounds.

    `version_from` says where `version` was read. `verdict` is the ledger's. `remarks` are things a reader must know:
    a status that differs, a call that another library answers.
    """

    allocator: str
    version: str
    version_from: str
    conduct: Conduct
    verdict: str
    status: str
    runs: tuple[LightRun, ...]
    remarks: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """The median of the light runs' wall times."""
        return statistics.median(run.seconds for run in self.runs)

    @property
    def cpu_seconds(self) -> float:
        """The median of the light runs' processor times."""
        return statistics.median(run.cpu_seconds for run in self.runs)

    @property
    def spread_seconds(self) -> float:
        """The middle half's width of the wall times: what differs by less than this is chance; 0 for a single run."""
        return _spread([run.seconds for run in self.runs])

    def median(self, name: str) -> int:
        """Return the median of a count or size of the light runs, as a whole number."""
        return int(statistics.median(getattr(run, name) for run in self.runs))

    def spread(self, name: str) -> float:
        """Return the middle half's width of a count or size of the light runs."""
        return _spread([float(getattr(run, name)) for run in self.runs])


def _spread(values: list[float]) -> float:
    if len(values) < 2:
        return 0.0
    low, _middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return high - low
