"""Start a program that is traced from its first instruction.

The child waits at a pipe until it is seized, then takes back what Python changed (signals), puts the filter on
itself and execs. Its descriptors, environment, mask and limits are those the observer was started with.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shlex
import shutil
import signal
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from observer.arch.known import NATIVE
from observer.code.elf import describe_foreign
from observer.errors import CannotLaunch, CannotObserve
from observer.files import open_regular
from observer.linux import ptrace, seccomp
from observer.linux.process import avoid_huge_pages, execute, stop_randomizing
from observer.linux.procfs import read_status_field
from observer.tracee.environment import as_given

__all__ = ["Launched", "Start", "check_exec", "find_program", "launch"]


@dataclass(frozen=True, slots=True)
class Start:
    """What to start and how.

    `program_filter` is the seccomp program, None to do without; `processor` where to pin the child, None for nowhere;
    `randomize` False turns address randomisation off, `huge_pages` False transparent huge pages; `signal_mask` is what
    the program finds blocked, `files` its limit of open files (soft, hard), None for the observer's own.
    """

    path: str
    argv: Sequence[str]
    environment: Mapping[str, str]
    program_filter: bytes | None
    processor: int | None
    randomize: bool | None
    signal_mask: set[signal.Signals]
    huge_pages: bool = True
    files: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Launched:
    """A seized child about to exec. `report` is the pipe on which a failed exec sends its errno."""

    pid: int
    report: int


def find_program(name: str, environment: Mapping[str, str]) -> str:
    """Return the path execvp(3) would run; raises CannotLaunch with status 127 or 126 and the reason."""
    path = name if "/" in name else shutil.which(name, path=environment.get("PATH", os.defpath))
    if path is None:
        raise CannotLaunch(
            f"cannot run {name!r}", "no such program in PATH", f"./{name} if it is here", exit_status=127
        )
    _check_executable(path)
    return path


def _check_executable(path: str) -> None:
    try:
        status = os.stat(path)
    except OSError as error:
        code = 127 if error.errno in (errno.ENOENT, errno.ENOTDIR) else 126
        raise CannotLaunch(f"cannot run {path!r}", os.strerror(error.errno or 0), exit_status=code) from error
    if stat.S_ISDIR(status.st_mode):
        raise CannotLaunch(f"cannot run {path!r}", "it is a directory", "name the program inside it")
    if not os.access(path, os.X_OK):
        raise CannotLaunch(f"cannot run {path!r}", "permission denied", f"chmod +x {path}")
    with contextlib.suppress(OSError), open_regular(path) as file:  # an unreadable program may still be run
        head = file.read(20)
        foreign = describe_foreign(head)
        if foreign:
            raise CannotLaunch(
                f"cannot run {path!r}",
                f"it is a {foreign} program, and this machine runs those of {NATIVE.name}",
                f"compile it for {NATIVE.name}",
            )
        if not head.startswith((b"\x7fELF", b"#!")):
            raise CannotLaunch(
                f"cannot run {path!r}", "it is neither an ELF program nor a script with a #! line",
                f"observer run -- sh {path}",
            )  # fmt: skip


def launch(start: Start) -> Launched:
    """Fork, seize, and let the child exec; it stops at EVENT_EXEC.

    Raises:
        CannotObserve: ptrace is refused, or /proc does not show our processes.
    """
    _check_proc()
    environment = as_given(start.environment)
    go_read, go_write = os.pipe()
    report_read, report_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(go_write)
        os.close(report_read)
        _become_program(start, environment, go_read, report_write)
    os.close(go_read)
    os.close(report_write)
    try:
        ptrace.seize(pid)
    except OSError as error:
        refusal = _refusal(pid, error)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(go_write)
        os.close(report_read)
        raise refusal from error
    os.write(go_write, b"g")
    os.close(go_write)
    return Launched(pid, report_read)


def _refusal(pid: int, error: OSError) -> CannotObserve:
    """Return what is to be said of process *pid*, which may not be traced: mostly that somebody traces it already."""
    what, why = "cannot trace the program", f"ptrace refused ({os.strerror(error.errno or 0)})"
    with contextlib.suppress(OSError, ValueError):
        tracer = int(read_status_field(pid, "TracerPid"))
        if tracer:
            name = read_status_field(tracer, "Name")
            remedy = "the observer without it: a process has one tracer"
            return CannotObserve(what, f"{why}: {name}, process {tracer}, traces it with us", remedy)
    remedy = 'a container needs --cap-add=SYS_PTRACE; kernel.yama.ptrace_scope must be below 3; see "observer doctor"'
    return CannotObserve(what, why, remedy)


def _check_proc() -> None:
    """Refuse a /proc in which our numbers of processes are those of others, or nobody's (pid_namespaces(7))."""
    remedy = "mount -t proc proc /proc, in the namespaces of this process (unshare --pid --fork --mount-proc)"
    try:
        shown = os.readlink("/proc/self")
    except OSError as error:
        raise CannotObserve(
            "cannot trace the program", f"/proc/self: {os.strerror(error.errno or 0)}", remedy
        ) from error
    if shown != str(os.getpid()):
        raise CannotObserve("cannot trace the program", "/proc is that of another pid namespace", remedy)


def check_exec(report: int, path: str) -> None:
    """Read the pipe of a child that has ended or exec'ed, and close it; raises CannotLaunch if its exec failed."""
    answer = os.read(report, 16)
    os.close(report)
    if answer:
        number = int(answer)
        code = 127 if number == errno.ENOENT else 126
        why, remedy = os.strerror(number), ""
        if number == errno.ENOENT and os.path.exists(path):  # then it is not the program that is missing
            why = "what its first line (#!) or its header names to run it with is not there"
            remedy = f"head -1 {shlex.quote(path)}, or readelf -l {shlex.quote(path)}, names it"
        raise CannotLaunch(f"cannot run {path!r}", why, remedy, exit_status=code)


def _become_program(start: Start, environment: Sequence[bytes], go: int, report: int) -> None:
    """Run in the child; never returns."""
    try:
        os.read(go, 1)
        if start.processor is not None:
            os.sched_setaffinity(0, {start.processor})
        if start.randomize is False:
            stop_randomizing()
        if not start.huge_pages:
            avoid_huge_pages()
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, start.signal_mask)
        if start.files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, start.files)
        if start.program_filter is not None:
            seccomp.install_somehow(start.program_filter)
        execute(start.path, start.argv, environment)
    except OSError as error:
        os.write(report, str(error.errno or errno.EINVAL).encode())
    finally:
        os._exit(127)
