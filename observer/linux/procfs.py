"""/proc/PID as values: maps, smaps, pagemap, stat (proc(5)).

Files are read as bytes in one go at a stop; names in them are the tracee's own choice and may hold anything,
so fields are cut by position and special mappings are believed only with inode 0.
"""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from dataclasses import dataclass
from typing import Final

from observer.model.addresses import Mapping

__all__ = [
    "PAGE",
    "OwnCounters",
    "TaskCounters",
    "child_counters",
    "has_lost_its_events",
    "heap_start",
    "heeded_environment",
    "process_counters",
    "processor_seconds",
    "read_mapped_resident",
    "read_mapping_at",
    "read_mappings",
    "read_memory_sizes",
    "read_pagemap",
    "read_resident_bytes",
    "read_status_field",
    "reads_execute",
    "seccomp_filters",
    "signal_sets",
    "task_counters",
]

PAGE: Final = os.sysconf("SC_PAGESIZE")


def _read(path: str) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.readall() or b""


def parse_maps_line(line: bytes) -> Mapping:
    """Return the mapping that a line of maps (or a head line of smaps) describes.

    >>> parse_maps_line(b"7f00-8000 r-xp 00001000 fe:1a2b 7  /a b.so").path
    '/a b.so'
    """
    parts = line.split(b" ", 5)
    start, end = (int(word, 16) for word in parts[0].split(b"-"))
    inode = int(parts[4])
    raw = parts[5].lstrip(b" ") if len(parts) > 5 else b""
    name = raw.replace(rb"\012", b"\n").decode("utf-8", "surrogateescape")
    special = inode == 0 and parts[3] == b"00:00" and name.startswith("[")
    return Mapping(
        start=start,
        end=end,
        protection=parts[1][:3].decode(),
        shared=parts[1][3:4] == b"s",
        offset=int(parts[2], 16),
        path=name if special or inode else "",
        inode=inode,
    )


def read_mappings(pid: int) -> list[Mapping]:
    """Return the mappings of a stopped process in address order; raises OSError when it is gone."""
    return [parse_maps_line(line) for line in _read(f"/proc/{pid}/maps").split(b"\n") if line]


def read_mapping_at(pid: int, address: int) -> Mapping | None:
    """Return the mapping of a stopped process that holds *address*: of very many lines only a few are read.

    Raises:
        OSError: the process is gone, or forbids to be read.
    """
    lines = _read(f"/proc/{pid}/maps").split(b"\n")[:-1]
    i = bisect_right(lines, address, key=_start_of_line) - 1
    mapping = parse_maps_line(lines[i]) if i >= 0 else None
    return mapping if mapping is not None and address < mapping.end else None


def _start_of_line(line: bytes) -> int:
    return int(line[: line.index(b"-")], 16)


@dataclass(frozen=True, slots=True)
class TaskCounters:
    """Page faults the kernel counted for one task."""

    minor: int
    major: int

    @property
    def total(self) -> int:
        """Minor and major together."""
        return self.minor + self.major


def _stat_fields(path: str) -> list[bytes]:
    raw = _read(path)
    # The command name may hold anything, ')' and newlines too; what follows the last ')' does not.
    return raw[raw.rindex(b")") + 2 :].split()


def task_counters(pid: int, tid: int) -> TaskCounters:
    """Return minflt and majflt of one task (stat fields 10 and 12), not of its whole group."""
    fields = _stat_fields(f"/proc/{pid}/task/{tid}/stat")
    return TaskCounters(minor=int(fields[7]), major=int(fields[9]))


def process_counters(pid: int) -> TaskCounters:
    """Return minflt and majflt of a whole process, the threads that ended included (stat fields 10 and 12)."""
    fields = _stat_fields(f"/proc/{pid}/stat")
    return TaskCounters(minor=int(fields[7]), major=int(fields[9]))


def processor_seconds(tid: int) -> float:
    """Return how long one task has run so far, in seconds (schedstat; 0.0 where the kernel keeps none)."""
    try:
        return int(_read(f"/proc/{tid}/schedstat").split()[0]) / 1e9
    except FileNotFoundError:
        return 0.0


def signal_sets(tid: int) -> tuple[int, int]:
    """Return the signals that a task blocks now, and those its process has handlers for (bit n-1 for signal n).

    SigBlk of status shows the mask of a sigsuspend(2) that goes on, which PTRACE_GETSIGMASK does not.
    """
    text = _read(f"/proc/{tid}/status")  # looked for in it, not split: this is done at every signal
    blocked, caught = text.index(b"\nSigBlk:"), text.index(b"\nSigCgt:")
    return int(text[blocked + 8 : blocked + 25], 16), int(text[caught + 8 : caught + 25], 16)


class OwnCounters:
    """minflt and majflt of one task, read again and again without allocating: the text lands in the same bytes."""

    def __init__(self, pid: int, tid: int) -> None:
        self._fd = os.open(f"/proc/{pid}/task/{tid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        self._places = (bytearray(1024),)
        self._length = 0

    def sample(self) -> None:
        """Take the numbers as they are now."""
        self._length = os.preadv(self._fd, self._places, 0)

    def value(self) -> TaskCounters:
        """Return the numbers last taken."""
        raw = bytes(self._places[0][: self._length])
        fields = raw[raw.rindex(b")") + 2 :].split()
        return TaskCounters(minor=int(fields[7]), major=int(fields[9]))

    def close(self) -> None:
        """Close the file."""
        os.close(self._fd)


def heap_start(pid: int) -> int:
    """Return start_brk (stat field 47): where the heap begins; 0 when not allowed to know."""
    return int(_stat_fields(f"/proc/{pid}/stat")[44])


_READ_IMPLIES_EXEC: Final = 0x0400000


def reads_execute(tid: int) -> bool:
    """Whether whatever a task maps to be read may be executed, too (personality(2)); not, where it may not be asked."""
    try:
        return bool(int(_read(f"/proc/{tid}/personality"), 16) & _READ_IMPLIES_EXEC)
    except OSError:
        return False


_AT_SECURE: Final = 23


def heeded_environment(pid: int, names: tuple[str, ...]) -> dict[str, str]:
    """Return the variables of a program that begins whose names start with one of *names*.

    They lie in the pages that exec itself wrote. Where the kernel tells the loader to distrust the environment
    (AT_SECURE, getauxval(3)) nothing of it counts; where we may not read it nothing is known.
    """
    try:
        auxiliary = _read(f"/proc/{pid}/auxv")
        raw = _read(f"/proc/{pid}/environ")
    except PermissionError:
        return {}
    words = [int.from_bytes(auxiliary[i : i + 8], "little") for i in range(0, len(auxiliary), 8)]
    if dict(zip(words[::2], words[1::2], strict=False)).get(_AT_SECURE):
        return {}
    pairs = (os.fsdecode(word).partition("=") for word in raw.split(b"\0") if b"=" in word)
    return {name: value for name, _equals, value in reversed(list(pairs)) if name.startswith(names)}


def read_status_field(pid: int, field: str) -> str:
    """Return a field of /proc/PID/status, such as `SigBlk` or `Cpus_allowed`."""
    for line in _read(f"/proc/{pid}/status").split(b"\n"):
        name, _colon, value = line.partition(b":")
        if name.decode("ascii", "replace") == field:
            return value.strip().decode("ascii", "replace")
    raise OSError(f"no field {field} in /proc/{pid}/status")


def has_lost_its_events(pid: int) -> bool:
    """Whether the kernel took its perf events from a process at the execve(2) that it is still in.

    It does so where the program is not for its user to look into: real and effective user or group differ, as with a
    set-user-ID file (install_exec_creds, fs/exec.c), unless fs.suid_dumpable is 1.
    """
    are_others = any(len({*read_status_field(pid, field).split()[:2]}) > 1 for field in ("Uid", "Gid"))
    return are_others and _read("/proc/sys/fs/suid_dumpable").strip() != b"1"


def seccomp_filters(tid: int) -> int:
    """Return how many filters a task's system calls pass through (Linux 5.9); -1 where that is not told."""
    try:
        return int(read_status_field(tid, "Seccomp_filters"))
    except OSError:
        return -1


_ROLLUP: Final = {b"Rss": "resident", b"Pss": "proportional", b"Anonymous": "anonymous", b"Swap": "swapped"}


def read_resident_bytes(pid: int) -> dict[str, int]:
    """Return resident, proportional, anonymous and swapped bytes (smaps_rollup, Linux 4.14)."""
    found: dict[str, int] = {}
    for line in _read(f"/proc/{pid}/smaps_rollup").splitlines()[1:]:
        key, _colon, value = line.partition(b":")
        if key in _ROLLUP:
            found[_ROLLUP[key]] = int(value.split()[0]) * 1024
    return found


_SIZES: Final = frozenset({b"VmPeak", b"VmSize", b"VmHWM", b"VmRSS"})


def read_memory_sizes(pid: int) -> dict[str, int]:
    """Return VmPeak, VmSize, VmHWM and VmRSS of /proc/PID/status in bytes; all 0 for a task without memory."""
    lines = (line.partition(b":") for line in _read(f"/proc/{pid}/status").splitlines())
    found = {name.decode(): int(value.split()[0]) * 1024 for name, _colon, value in lines if name in _SIZES}
    return {name.decode(): found.get(name.decode(), 0) for name in _SIZES}


_MAPPED: Final = re.compile(
    rb"^([0-9a-f]+)-[0-9a-f]+ .*\nSize: +([0-9]+) kB\n(?:[A-Z].*\n){0,4}?Rss: +([0-9]+) kB$", re.MULTILINE
)


def read_mapped_resident(pid: int) -> dict[int, tuple[int, int]]:
    """Return for each mapping's start (size, Rss) in bytes, from smaps."""
    found = _MAPPED.findall(_read(f"/proc/{pid}/smaps"))
    return {int(start, 16): (int(size) * 1024, int(rss) * 1024) for start, size, rss in found}


def read_pagemap(fd: int, start: int, end: int) -> bytes:
    """Return 8 bytes a page of [start, end) from an open pagemap: bit 63 present, 62 swapped, 0-54 the frame.

    Frames read as 0 without CAP_SYS_ADMIN (Linux 4.2).
    """
    first, last = start // PAGE, (end + PAGE - 1) // PAGE
    return os.pread(fd, (last - first) * 8, first * 8)


def child_counters() -> TaskCounters:
    """Return the faults of all our children that were waited for, their own waited-for children included."""
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return TaskCounters(minor=usage.ru_minflt, major=usage.ru_majflt)
