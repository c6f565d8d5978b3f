"""All system calls, in order, with their results and their arguments in words, equal to strace -f's."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from shutil import which

import pytest

from tests.conftest import ROOT, needs
from tests.recordings import Recorded, run_observer
from tests.witness.crossed import Crossed, disagreement, observed_tasks, strace_tasks
from tests.witness.programs import real_command

pytestmark = needs("strace")

Sample = Callable[[str], str]
OPTIONS = ("-q", "--aslr", "off", "-e", "trace=all")

SCRIPT = """
for i in 1 2 3; do n=$(echo "$i"); test "$n" = "$i" || exit 1; done
echo "$n" | cat
(exit 3)
ls /proc/nowhere
exec true
"""

OTHER_IN_EACH_RUN = {
    ("pread64", 1), ("getrandom", 0), ("wait4", 0), ("kill", 0), ("tgkill", 0), ("tgkill", 1), ("getsockname", 1),
    ("connect", 1), ("clock_nanosleep", 3), ("nanosleep", 1),
}  # fmt: skip
"""Arguments that hold random bytes, a process's number, a port that the kernel chose, or the pages of a process."""

REORDERED = {"clone"}
"""strace names clone's arguments and puts them in an order of its own: only the flags are compared."""


def normal(word: str, name: str) -> str:
    """Return strace's or our word for an argument, without what differs by design or from run to run."""
    word = re.sub(r"(-sample-)\d+", r"\1", word)
    word = re.sub(r"\bIPPROTO_(IP|IPV6)\b", "0", word).replace("SIGRTMIN", "SIGRT_0")
    if name == "statx":
        word = word.replace("AT_STATX_SYNC_AS_STAT|", "")
    if name == "socketcall":
        return word.partition(", ")[0]
    # O_ASYNC and half of O_SYNC by the kernel's own names; a lock that only fcntl(2)'s commands for locks would have.
    word = word.replace("FASYNC", "O_ASYNC").replace("__O_SYNC", "0x100000").replace("CLOCK_SGI_CYCLE", "0xa")
    return word.replace("F_RDLCK", "0") if name.startswith("fcntl") else word


def flags_of_clone(call: Crossed) -> Crossed:
    flags = next(word.removeprefix("flags=") for word in call.arguments if "CLONE_" in word or "SIGCHLD" in word)
    return Crossed(call.name, (flags,), call.result, call.error)


def differences(theirs: Crossed, ours: Crossed) -> list[str]:
    if theirs.name in REORDERED and not theirs.arguments:
        return []
    if theirs.name in REORDERED:
        theirs, ours = flags_of_clone(theirs), flags_of_clone(ours)
    pairs = zip(ours.arguments, theirs.arguments, strict=False)
    words = [
        disagreement(normal(mine, ours.name), normal(other, ours.name))
        for index, (mine, other) in enumerate(pairs)
        if (ours.name, index) not in OTHER_IN_EACH_RUN
    ]
    return [f"{ours.name}: {word}" for word in words if word is not None]


def assert_equal_to_strace(
    command: Sequence[str], folder: Path, *, tries: int = 1, without: tuple[str, ...] = ()
) -> Recorded:
    """Compare task by task, the tasks ordered by what they call: which of them is the first to start may differ."""
    for attempt in range(tries):
        wanted = sorted(strace_tasks(command, folder), key=_names)
        wanted = [[call for call in map(known_here, task) if call.name not in without] for task in wanted]
        recorded = run_observer(command, folder / f"trace{attempt}", options=OPTIONS)
        seen = sorted(observed_tasks(recorded), key=_names)
        seen = [[call for call in task if call.name not in without] for task in seen]
        if [_names(task) for task in seen] == [_names(task) for task in wanted]:
            break
    assert [_names(task) for task in seen] == [_names(task) for task in wanted]
    for ours, theirs in zip(seen, wanted, strict=True):
        assert [outcome(call) for call in ours] == [outcome(call) for call in theirs]
        found = [words for other, mine in zip(theirs, ours, strict=True) for words in differences(other, mine)]
        assert not found
    recorded.assert_balanced()
    # A 32-bit program's vDSO enters by what its processor has: `sysenter` (Intel) or `syscall` (AMD).
    assert {call.gate for call in recorded.syscalls} <= {"syscall", "int80", "sysenter"}
    return recorded


def known_here(call: Crossed) -> Crossed:
    """clone3, whose flags no filter can read, is answered with ENOSYS under the observer: the library takes clone."""
    return Crossed("clone", (), call.result, call.error) if call.name == "clone3" else call


def _names(task: list[Crossed]) -> tuple[int, list[str]]:
    return len(task), [call.name for call in task]


def outcome(call: Crossed) -> tuple[str, int | None, str]:
    if call.name == "brk" and call.result is not None:
        # Through int 0x80 the break comes back whole; strace shows 32 bits of it.
        return call.name, call.result & 0xFFFF_FFFF, call.error
    # What rt_sigreturn comes back with is the register that the signal found, a process's number in a shell.
    return (call.name, None, "") if call.name == "rt_sigreturn" else call.outcome


@pytest.mark.parametrize(
    "words",
    ["gates", "files", "loopback", "vdso_time", "library", "buffering full", "buffering line", "buffering none",
     "fork_cow", "exec_self"],
)  # fmt: skip
def test_all_calls_of_a_sample_equal_straces(words: str, sample: Sample, tmp_path: Path) -> None:
    name, *arguments = words.split()
    assert_equal_to_strace([sample(name), *arguments], tmp_path, tries=3)


@pytest.mark.parametrize("name", ["ls", "cat", "python3", "sort", "sh"])
def test_all_calls_of_a_real_program_equal_straces(name: str, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    script = tmp_path / "script.sh"
    script.write_text(SCRIPT)
    commands = {
        "cat": ["cat", "/etc/passwd"],
        "python3": [
            "env",
            "PYTHONHASHSEED=0",
            which("python3", path="/usr/bin:/bin") or sys.executable,
            "-S",
            "-c",
            "pass",
        ],
        "sh": ["sh", str(script)],
        "sort": ["sort", "/etc/passwd"],
    }
    # When a child's end is told, and how often a shell has to wait, is the scheduler's business.
    without = ("rt_sigreturn", "wait4") if name == "sh" else ()
    assert_equal_to_strace(commands.get(name) or real_command(name, tmp_path), tmp_path, tries=5, without=without)


def test_every_name_of_an_argument_is_straces(tmp_path: Path) -> None:
    program = tmp_path / "named"
    subprocess.run(["gcc", "-O0", "-g", "-w", "-o", str(program), str(ROOT / "tests/witness/named.c")], check=True)
    recorded = assert_equal_to_strace([str(program)], tmp_path)
    assert len(recorded.syscalls) > 300
