"""What strace sees: memory system calls by name and size, task by task; all calls and signals of a program with one task."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from observer.model.events import Syscall
from tests.recordings import environment_of_commands
from tests.witness.told import facts_of

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


_MODE = re.compile(r"^\[ Process PID=\d+ runs in (?P<bits>32|64) bit mode\. \]$")
_ANSWER = re.compile(r"^(?P<name>\w+)\((?P<args>.*)\)\s+= (?P<result>-?\w+|\?)(?: (?P<error>E[A-Z0-9]+))?")
_SIGNAL = re.compile(
    r"^--- (?P<name>SIG\w+) \{si_signo=(?P<number>\d+), si_code=(?P<code>[-x\w]+)(?:, si_addr=(?P<address>\w+))?"
)
_KILLED = re.compile(r"^\+\+\+ killed by (?P<name>SIG\w+)")


@dataclass(frozen=True)
class Asked:
    """A line of strace: a system call, and which table its number was looked up in."""

    name: str
    arguments: str
    result: int | None
    error: str
    bits: int


@dataclass(frozen=True)
class Signalled:
    """A line of strace: a signal that the kernel delivered, with the numbers it came with."""

    name: str
    number: int
    code: int
    address: int | None


@dataclass(frozen=True)
class Straced:
    """One run of a program under strace."""

    calls: list[Asked]
    signals: list[Signalled]
    killed_by: str | None
    facts: dict[str, str]

    def named(self, *names: str) -> list[Asked]:
        return [call for call in self.calls if call.name in names]

    def between(self, first: str, last: str) -> list[Asked]:
        """The calls from the first one whose name begins with *first* to the last one that begins with *last*."""
        begins = [at for at, call in enumerate(self.calls) if call.name.startswith(first)]
        ends = [at for at, call in enumerate(self.calls) if call.name.startswith(last)]
        return self.calls[begins[0] : ends[-1] + 1]


def strace_run(
    command: Sequence[str], *, options: Sequence[str] = (), environment: Mapping[str, str] | None = None
) -> Straced:
    """Run a program with one task, that writes nothing to standard error, under strace."""
    done = subprocess.run(
        ["strace", "-X", "raw", *options, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
        check=False, env={**environment_of_commands(), **(environment or {})},
    )  # fmt: skip
    calls: list[Asked] = []
    signals: list[Signalled] = []
    killed_by = None
    bits = 64
    # Not with -o: the lines about the mode would go elsewhere.
    for line in done.stderr.splitlines():
        if match := _ANSWER.match(line):
            result = None if match["result"] == "?" else int(match["result"], 0)
            calls.append(Asked(match["name"], match["args"], result, match["error"] or "", bits))
        elif match := _SIGNAL.match(line):
            address = 0 if match["address"] == "NULL" else int(match["address"], 0) if match["address"] else None
            signals.append(Signalled(match["name"], int(match["number"]), int(match["code"], 0), address))
        elif match := _MODE.match(line):
            bits = int(match["bits"])
        elif match := _KILLED.match(line):
            killed_by = match["name"]
    assert calls or signals, f"strace told nothing: {done.stderr}"
    return Straced(calls, signals, killed_by, facts_of(done.stdout))
