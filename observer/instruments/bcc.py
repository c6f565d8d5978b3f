"""A second witness of the kernel's side: bcc, in a program of its own that the system's Python runs.

It tells of the page frames that the process tree is given, and, where kprobes are allowed, how much of a fault's time
is spent in handle_mm_fault. It is asked for by name: it needs a compiler's seconds before the program starts.
"""

from __future__ import annotations

import os
import select
import subprocess
import threading
from pathlib import Path
from typing import IO, Final

import msgspec

from observer.errors import CannotObserve
from observer.files import Folder, NewFile
from observer.recording.records import KERNEL_EVENT

__all__ = ["BccWitness", "why_not"]

_PYTHON: Final = "/usr/bin/python3"
_PROGRAM: Final = Path(__file__).parent.parent / "linux" / "bcc_program.py"
_PATIENCE: Final = 300.0
"""Seconds that the BPF program may take to be compiled and loaded: minutes in a busy emulated machine."""
_SHORTLY: Final = 1.0
_AT_ONCE: Final = 1 << 16
_INITIAL_NAMESPACE: Final = "pid:[4026531836]"  # PROC_PID_INIT_INO (include/linux/proc_ns.h)
_BUILD: Final = "/lib/modules/{}/build"
_IN_KERNEL: Final = Path("/sys/kernel/kheaders.tar.xz")
_SOURCE: Final = "BCC_KERNEL_SOURCE"
"""The variable by which bcc is told of headers elsewhere."""
_WHAT: Final = "cannot ask bcc"


class _Said(msgspec.Struct):
    """A line of the program's."""

    works: bool = True
    why: str = ""
    kprobes_refused: str = ""
    counted: int | None = None
    lost: int = 0


class BccWitness:
    """The program beside a run, from before the run begins until it has ended.

    `refused` says why it sees nothing, `kprobes_refused` why it knows nothing of handle_mm_fault; empty if it does.
    """

    def __init__(self, folder: Folder) -> None:
        self.refused = ""
        self.kprobes_refused = ""
        self.error: OSError | None = None
        self.files: list[NewFile] = []
        self._folder = folder
        self._program: subprocess.Popen[bytes] | None = None
        self._status: IO[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._follows = False

    def prepare(self) -> None:
        """Start the program, which compiles what it needs meanwhile."""
        try:
            refusal = why_not()
            if refusal is not None:
                raise refusal
            self._launch()
        except (CannotObserve, OSError, RuntimeError) as error:  # RuntimeError: no further thread
            self._refuse(error)

    def _refuse(self, error: CannotObserve | OSError | RuntimeError) -> None:
        told = error if isinstance(error, CannotObserve) else CannotObserve(_WHAT, str(error), "raise ulimit -n and -u")
        self.refused = f"{told.what}: {told.why}; {told.remedy}"
        self._close()

    def _launch(self) -> None:
        read, write = os.pipe()
        self._status = os.fdopen(read, "rb")
        try:
            self._program = subprocess.Popen(
                [_PYTHON, "-I", str(_PROGRAM), str(write)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, pass_fds=(write,), cwd="/", bufsize=0,
            )  # fmt: skip
        finally:
            os.close(write)
        self._program.wait()  # it has left a child that is nobody's: a tracer waits for all of ours
        self.files = [NewFile(self._folder, KERNEL_EVENT.file)]
        self._thread = threading.Thread(target=self._copy, name="bcc", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until it is ready, or known not to work."""
        if self.refused:
            return
        try:
            self.kprobes_refused = self._hear().kprobes_refused
        except CannotObserve as error:
            self._refuse(error)

    def follow(self, pid: int) -> None:
        """Have it follow the stopped process *pid* and all its children."""
        if self.refused or self._program is None or self._program.stdin is None:
            return
        try:
            self._program.stdin.write(b"%d" % pid)
            self._follows = True
            self._hear()
        except (CannotObserve, OSError) as error:
            self._refuse(error)

    def _hear(self) -> _Said:
        """Return what the program says next; raises CannotObserve when that is that it does not work, or nothing."""
        assert self._status is not None
        if not select.select([self._status], [], [], _PATIENCE)[0]:
            raise CannotObserve(_WHAT, f"it says nothing for {_PATIENCE:.0f} s", "leave -e bcc out")
        said = _read(self._status.readline())
        if not said.works:
            why = (said.why.strip().splitlines() or ["it does not work"])[-1]
            raise CannotObserve(_WHAT, why, _headers() if "kernel headers" in why else "leave -e bcc out")
        return said

    def _copy(self) -> None:
        assert self._program is not None
        assert self._program.stdout is not None
        while data := os.read(self._program.stdout.fileno(), _AT_ONCE):
            if self.error is None and not self.refused:
                try:
                    self.files[0].append(data)
                except OSError as error:
                    self.error = error

    def stop(self) -> dict[str, int]:
        """End the program and take what is left; return what it counted, for the totals."""
        if self.refused or self._status is None:
            return {}
        if not self._follows:
            self._close()
            return {}
        self._end()
        try:
            said = self._hear()
        except CannotObserve as error:
            self._refuse(error)
            return {}
        self._close()
        return {"bcc_events_counted": said.counted or 0, "bcc_events_lost": said.lost}

    def _end(self) -> None:
        if self._program is not None and self._program.stdin is not None:
            self._program.stdin.close()
        if self._thread is not None:
            self._thread.join(_SHORTLY if self.refused else None)

    def _close(self) -> None:
        self._end()
        if self._status is not None:
            self._status.close()
        if self._thread is not None and self._thread.is_alive():
            return  # in the midst of compiling: it ends by itself when that is done
        if self._program is not None and self._program.stdout is not None:
            self._program.stdout.close()


def _read(line: bytes) -> _Said:
    try:
        return msgspec.json.decode(line, type=_Said)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _Said(works=False, why="it ended without a word")


def why_not() -> CannotObserve | None:
    """Return why bcc cannot be asked here, as far as that is known without trying; None if it may be."""
    if os.geteuid() != 0:
        return CannotObserve(_WHAT, "BPF programs need root", "sudo observer run -e bcc …")
    if os.readlink("/proc/self/ns/pid") != _INITIAL_NAMESPACE:
        return CannotObserve(_WHAT, "it numbers processes as the machine does, not this container", "run outside of it")
    if not _has_bcc():
        return CannotObserve(_WHAT, f"{_PYTHON} has no module bcc", "sudo apt-get install python3-bpfcc")
    build = _build()
    if not (build.exists() or _IN_KERNEL.exists() or _SOURCE in os.environ):
        return CannotObserve(_WHAT, f"no headers of this kernel in {build}", _headers())
    return None


def _build() -> Path:
    """Return where this kernel's headers should be."""
    return Path(_BUILD.format(os.uname().release))


def _headers() -> str:
    """Return how to come by headers: a kernel that has no modules there is none of the distribution's."""
    if _build().parent.exists():
        return "sudo apt-get install linux-headers-$(uname -r)"
    return f"sudo {_SOURCE}=FOLDER observer run -e bcc …, with the headers of a kernel like this one"


def _has_bcc() -> bool:
    words = [_PYTHON, "-I", "-c", "import importlib.util, sys; sys.exit(importlib.util.find_spec('bcc') is None)"]
    try:
        return subprocess.run(words, capture_output=True, check=False, cwd="/").returncode == 0
    except OSError:
        return False
