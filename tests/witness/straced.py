"""Memory system calls as strace sees them: names and sizes, process by process."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from observer.model.events import Syscall
from tests.recordings import environment_of_commands

SIZE_ARGUMENT = {
    "mmap": 1, "munmap": 1, "mremap": 2, "mprotect": 1, "madvise": 1, "mlock": 1, "mlock2": 1, "munlock": 1, "msync": 1,
    "mincore": 1, "pkey_mprotect": 1,
}  # fmt: skip
"""Which argument of each call is its size; brk's size is how far the break moved."""

_LINE = re.compile(r"^(?P<tid>\d+)\s+(?P<rest>.*)$")
_CALL = re.compile(r"(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>\S+)")

Entry = tuple[str, int]
_ARENA = 64 << 20


def strace_memory_calls(command: Sequence[str], folder: Path) -> list[list[Entry]]:
    """Run *command* under strace -f, without address randomisation; return (name, size) lists, one a task, in the order tasks appear."""
    output = folder / "strace.txt"
    subprocess.run(
        ["setarch", "-R", "strace", "-f", "-qq", "-X", "raw", "-e", "trace=%memory", "-e", "signal=none", "-o", str(output), *command],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, env=environment_of_commands(),
    )  # fmt: skip
    tasks: dict[str, list[Entry]] = {}
    unfinished: dict[str, str] = {}
    breaks: dict[str, int] = {}
    for line in output.read_text(errors="replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        tid, rest = match["tid"], match["rest"]
        if rest.endswith("<unfinished ...>"):
            unfinished[tid] = rest.removesuffix("<unfinished ...>").rstrip()
            continue
        if rest.startswith("<..."):
            rest = unfinished.pop(tid) + " " + rest.partition("resumed>")[2].lstrip()
        call = _CALL.match(rest)
        if call is not None:
            tasks.setdefault(tid, []).append(_entry(tid, call["name"], call["args"], call["result"], breaks))
    return list(tasks.values())


def _entry(tid: str, name: str, args: str, result: str, breaks: dict[str, int]) -> Entry:
    if name == "brk":
        value = int(result, 0)
        moved = value - breaks.get(tid, value)
        breaks[tid] = value
        return name, moved
    words = [word.strip() for word in args.split(",")]
    position = SIZE_ARGUMENT.get(name)
    return name, int(words[position], 0) if position is not None else 0


def arenas_joined(entries: list[Entry]) -> list[Entry]:
    """Return *entries* with each new thread arena as one entry.

    To get 64 MiB on a 64 MiB boundary glibc maps 128 and unmaps both ends, or finds 64 at the place it hoped for:
    which of these, and how long the ends are, depends on where the kernel had room in that run.
    """
    joined: list[Entry] = []
    for name, size in entries:
        if name == "munmap" and joined and joined[-1][0] == "ends" and joined[-1][1] + size <= _ARENA:
            joined[-1] = ("ends", joined[-1][1] + size)
        elif name == "mmap" and size == 2 * _ARENA:
            joined.append(("ends", 0))
        else:
            joined.append((name, size))
    return [("arena", _ARENA) if entry in (("ends", _ARENA), ("mmap", _ARENA)) else entry for entry in joined]


def observed_memory_calls(syscalls: Sequence[Syscall]) -> list[list[Entry]]:
    """Return the same of recorded events."""
    tasks: dict[int, list[Entry]] = {}
    breaks: dict[int, int] = {}
    for call in syscalls:
        if call.name == "brk":
            value = call.result or 0
            size = value - breaks.get(call.tid, value)
            breaks[call.tid] = value
        else:
            position = SIZE_ARGUMENT.get(call.name)
            size = call.args[position] if position is not None else 0
        tasks.setdefault(call.tid, []).append((call.name, size))
    return list(tasks.values())
