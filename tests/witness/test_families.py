"""What -e trace=file and the other classes mean, on a program that makes nearly every system call: strace's classes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import FAULT_EVENTS_REFUSED, ROOT, needs
from tests.recordings import run_observer
from tests.witness.crossed import Crossed, observed_tasks, strace_tasks

pytestmark = [
    needs("strace"),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the tables are those of x86-64 and i386"),
]

FAMILIES = ["file", "network", "process", "signal", "memory"]
OPTIONS = ("-q", "--aslr", "off")

UNLIKE_STRACE = {"process_madvise", "io_uring_register", "break", "getpmsg", "putpmsg", "socketcall"}
"""strace 6.1 has a wrong number for the first in %memory; numbers that i386 reserved and never used; socketcall(2),
which strace shows as the call that it stands for, and not at all when it stands for none."""


@pytest.fixture(scope="module")
def every_call(tmp_path_factory: pytest.TempPathFactory) -> str:
    program = tmp_path_factory.mktemp("every") / "every_call"
    subprocess.run(["gcc", "-O0", "-g", "-o", str(program), str(ROOT / "tests/witness/every_call.c")], check=True)
    return str(program)


def names(tasks: list[list[Crossed]]) -> list[str]:
    assert len(tasks) == 1
    return [call.name for call in tasks[0]]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("gate", ["", "int80"])
def test_a_family_is_straces(gate: str, family: str, every_call: str, tmp_path: Path) -> None:
    command = [every_call, gate] if gate else [every_call]
    seen = names(strace_tasks(command, tmp_path, "-e", f"trace=%{family}"))
    # What strace does not know it shows in every class.
    wanted = [name for name in seen if not name.startswith("syscall_0x") and name not in UNLIKE_STRACE]
    recorded = run_observer(command, tmp_path / "trace", options=(*OPTIONS, "-e", f"trace={family}"))
    # i386's oldest mmap has a name of its own here; strace has two of one name.
    ours = [name.replace("old_mmap", "mmap") for name in names(observed_tasks(recorded))]
    assert [name for name in ours if name not in UNLIKE_STRACE] == wanted
    assert len(wanted) > 10


NEVER_USED = {
    "break", "stty", "gtty", "ftime", "prof", "lock", "mpx", "ulimit", "profil", "idle", "afs_syscall", "getpmsg", "putpmsg",
    "vserver", "create_module", "get_kernel_syms", "query_module",
}  # fmt: skip
"""Names that strace has for numbers of i386 that no kernel of today answers; here they are numbers."""

OTHER_NAMES = {"select": "old_select", "mmap": "old_mmap", "_sysctl": "sysctl"}


@pytest.mark.parametrize("gate", ["", "int80"])
def test_nearly_every_call_has_straces_name_and_outcome(gate: str, every_call: str, tmp_path: Path) -> None:
    command = [every_call, gate] if gate else [every_call]
    [wanted] = strace_tasks(command, tmp_path)
    recorded = run_observer(command, tmp_path / "trace", options=(*OPTIONS, "-e", "trace=all"))
    [seen] = observed_tasks(recorded)
    if FAULT_EVENTS_REFUSED:  # it may be a filter that refuses it: what a filter answers makes no stop
        seen, wanted = ([call for call in calls if call.name != "perf_event_open"] for calls in (seen, wanted))
    assert len(seen) == len(wanted) > 370
    for ours, theirs in zip(seen, wanted, strict=True):
        if gate and theirs.name in NEVER_USED:
            assert ours.name.startswith("syscall_0x")
        else:
            assert ours.name in (theirs.name, OTHER_NAMES.get(theirs.name)), theirs
        if theirs.name in PIDS or (gate and theirs.name == "brk"):
            continue
        if os.geteuid() and theirs.name == "landlock_restrict_self":
            continue  # it answers as to a program that has no_new_privs, which an ordinary user's filter needs
        # modify_ldt answers with 32 bits; the errors are two names of one number.
        assert (ours.error or "").replace("ENOTSUP", "EOPNOTSUPP") == (
            theirs.error if theirs.name != "modify_ldt" else ours.error
        ), theirs
        assert ours.result == theirs.result, theirs
    recorded.assert_balanced()
    gates = {call.gate for call in recorded.syscalls}
    assert gates == ({"syscall", "int80"} if gate else {"syscall"})


PIDS = {"getpid", "getppid", "gettid", "set_tid_address", "setsid"}
