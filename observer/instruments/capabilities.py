"""What this machine lets the observer see, found out by trying, and the one command that would allow more."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from observer.arch.known import NATIVE
from observer.code.elf import load
from observer.instruments.bcc import why_not
from observer.instruments.kernel_side import formats, refusal
from observer.linux import perf, ptrace, seccomp
from observer.linux.procfs import PAGE, read_mappings, read_pagemap
from observer.model.operations import FAMILY

__all__ = ["Capability", "examine"]

_SYSCTL: Final = "sudo sysctl kernel.perf_event_paranoid=1"
_CONTAINER: Final = "start the container with --cap-add=PERFMON and a seccomp profile that allows perf_event_open"


class Capability(msgspec.Struct, frozen=True):
    """One thing the observer can or cannot do here. `essential`: without it there is no main job."""

    capability: str
    works: bool
    how: str
    why_not: str = ""
    remedy: str = ""
    essential: bool = False


@dataclass(frozen=True, slots=True)
class _Outcome:
    works: bool
    how: str = ""
    why_not: str = ""
    remedy: str = ""


def examine() -> list[Capability]:
    """Try everything once; return the list in the order in which people care."""
    probes: list[tuple[str, bool, Callable[[], _Outcome]]] = [
        ("x86-64 or arm64 machine", True, _machine),
        ("trace a program", True, _ptrace),
        ("stop only at chosen system calls", False, _seccomp),
        ("allocator calls", True, _allocator),
        ("page faults in user mode", False, lambda: _faults(kernel=False)),
        ("page faults in kernel mode", False, lambda: _faults(kernel=True)),
        ("lost fault samples counted by the kernel", False, _losses),
        ("residency of pages", False, _pagemap),
        ("page frame numbers", False, _frames),
        ("the kernel's side (-e kernel)", False, _kernel),
        ("a second witness of it (-e bcc)", False, _bcc),
        ("C compiler, for the samples", False, lambda: _program("gcc", "cc")),
    ]
    found = []
    for name, essential, probe in probes:
        outcome = probe()
        found.append(Capability(name, outcome.works, outcome.how, outcome.why_not, outcome.remedy, essential))
    return found


def _machine() -> _Outcome:
    machine = os.uname().machine
    if machine == NATIVE.machine and sys.maxsize > 1 << 32:
        return _Outcome(True, f"{machine}, {os.uname().sysname} {os.uname().release}")
    return _Outcome(
        False,
        why_not=f"this is {machine}",
        remedy="use an x86-64 or arm64 machine or the virtual machine of the Vagrantfile",
    )


def _ptrace() -> _Outcome:
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(ready_write)
        os.read(ready_read, 1)
        os._exit(0)
    os.close(ready_read)
    try:
        ptrace.seize(pid)
        return _Outcome(True, "PTRACE_SEIZE with EXITKILL")
    except OSError as error:
        return _Outcome(False, why_not=f"ptrace: {error.strerror}; {_yama()}", remedy=_ptrace_remedy())
    finally:
        os.close(ready_write)
        _wait_through(pid)


def _wait_through(pid: int) -> None:
    while True:
        _pid, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status) or os.WIFSIGNALED(status):
            return
        ptrace.cont(pid)


def _yama() -> str:
    try:
        scope = Path("/proc/sys/kernel/yama/ptrace_scope").read_text(encoding="ascii").strip()
    except OSError:
        return "Yama is not in this kernel, so a container or a filter forbids it"
    return f"kernel.yama.ptrace_scope is {scope}"


def _ptrace_remedy() -> str:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return "start the container with --cap-add=SYS_PTRACE"
    return "sudo sysctl kernel.yama.ptrace_scope=1"


def _seccomp() -> _Outcome:
    if seccomp.is_allowed():
        rights = "" if os.geteuid() == 0 else ", with no_new_privs: set-user-ID programs run without their rights"
        return _Outcome(True, f"seccomp filter{rights}")
    return _Outcome(
        False, why_not="seccomp filters are refused: every system call stops, which is slower but sees the same",
        remedy="allow seccomp and prctl in the container's profile",
    )  # fmt: skip


def _allocator() -> _Outcome:
    libc = next(
        (line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines() if "libc.so" in line), ""
    )
    elf = load(libc) if libc else None
    if elf is None:
        return _Outcome(True, "by symbol in the program (this Python has no shared C library to look at)")
    found = {symbol.name for symbol in elf.definitions_of(operation.name for operation in FAMILY)}
    return _Outcome(True, f"breakpoints: {len(found)} functions of {libc}")


def _faults(*, kernel: bool) -> _Outcome:
    try:
        perf.open_counter(perf.PAGE_FAULTS_MIN, 0, -1, kernel=kernel, period=1).close()
    except OSError as error:
        instead = "their number is still told, not their places" if kernel else "counted between stops instead"
        why = f"perf_event_open: {error.strerror}; kernel.perf_event_paranoid is {_paranoid()}; {instead}"
        return _Outcome(False, why_not=why, remedy=_perf_remedy())
    return _Outcome(True, "perf software events, one sample a fault")


def _perf_remedy() -> str:
    # At 2 and below the kernel itself lets every user count; a refusal of user-mode events is then a filter's.
    try:
        perf.open_counter(perf.PAGE_FAULTS_MIN, 0, -1, kernel=False).close()
    except OSError:
        return _CONTAINER if _paranoid() in ("-1", "0", "1", "2") else _SYSCTL
    return _SYSCTL


def _paranoid() -> str:
    try:
        return Path("/proc/sys/kernel/perf_event_paranoid").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"


def _losses() -> _Outcome:
    try:
        counter = perf.open_counter(perf.PAGE_FAULTS_MIN, 0, -1, kernel=False, period=1)
    except OSError as error:
        return _Outcome(False, why_not=f"perf_event_open: {error.strerror}", remedy=_perf_remedy())
    with_losses = counter.counts_losses
    counter.close()
    if with_losses:
        return _Outcome(True, "PERF_FORMAT_LOST")
    return _Outcome(
        False,
        why_not="this kernel is older than 6.0; samples are still compared with the count",
        remedy="a newer kernel",
    )


def _own_stack_entry() -> int:
    stack = next((mapping for mapping in read_mappings(os.getpid()) if mapping.path == "[stack]"), None)
    if stack is None:
        raise OSError(errno.ESRCH, "/proc tells of the processes of another namespace")
    fd = os.open("/proc/self/pagemap", os.O_RDONLY)
    try:
        return int.from_bytes(read_pagemap(fd, stack.end - PAGE, stack.end), "little")
    finally:
        os.close(fd)


def _pagemap() -> _Outcome:
    try:
        present = _own_stack_entry() >> 63
    except OSError as error:
        return _Outcome(False, why_not=f"/proc/PID/pagemap: {error.strerror}", remedy="mount /proc without hidepid")
    return _Outcome(bool(present), "/proc/PID/pagemap and smaps")


def _frames() -> _Outcome:
    try:
        frame = _own_stack_entry() & (1 << 55) - 1
    except OSError:
        frame = 0
    if frame:
        return _Outcome(True, "/proc/PID/pagemap")
    return _Outcome(False, why_not="frame numbers read as 0 without CAP_SYS_ADMIN", remedy="sudo observer run …")


def _kernel() -> _Outcome:
    try:
        points = formats()
        counters = [perf.open_tracepoint(point.number, 0, -1) for point in points.values()]
    except OSError as error:
        refused = refusal(error)
        return _Outcome(False, why_not=refused.why, remedy=refused.remedy)
    for counter in counters:
        counter.close()
    return _Outcome(True, f"{len(points)} tracepoints: fault handling, page frames, system calls")


def _bcc() -> _Outcome:
    refused = why_not()
    if refused is not None:
        return _Outcome(False, why_not=refused.why, remedy=refused.remedy)
    return _Outcome(True, "bcc, run by the system's Python")


def _program(*names: str) -> _Outcome:
    for name in names:
        path = shutil.which(name)
        if path:
            version = subprocess.run([path, "--version"], capture_output=True, text=True, check=False).stdout
            return _Outcome(True, version.splitlines()[0] if version else path)
    return _Outcome(False, why_not=f"no {' or '.join(names)} in PATH", remedy="sudo apt-get install gcc make libc6-dev")
