"""The stub's code as bytes: assembled once by the machine's C compiler, and kept by the contents of its source."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from observer.arch.known import NATIVE
from observer.code.elf import Elf
from observer.errors import CannotLaunch
from observer.recording.records import STACK_BYTES
from observer.tracee.inline.landing_code import landing_code_of
from observer.tracee.interpreter import cache_folder

__all__ = ["Stub", "assembled"]

_CODE: Final = landing_code_of(NATIVE)
_SOURCE: Final = Path(__file__).with_name(_CODE.source)
_MARKS: Final = struct.Struct("<16I")
_TABLE: Final = (_MARKS.size + 7) & ~7
_LEAST, _MOST = 256, 4096
"""Bytes that it may have: what a cache holds is not to be trusted with more."""


@dataclass(frozen=True, slots=True)
class Stub:
    """The code, and where things lie in it, as offsets.

    `enter`, `leave` and `tail` are where landings lead; `help` asks the observer, `gate` is a system call instruction,
    `name` that of the shared memory, `sample` is for ourselves. A signal that comes in one of `again` must find the
    work not begun: (first, end) each; at one of `done` all is done. From `filled` on the arguments are in the record,
    from `timed` to `closed` the results in other registers. `table` is the word that says where the table of threads
    lies, `ranges` where up to `MOST_RANGES` beginnings and lengths of code stand.
    """

    code: bytes
    enter: int
    leave: int
    tail: int
    help: int
    gate: int
    name: int
    sample: int
    filled: int
    timed: int
    closed: int
    again: tuple[tuple[int, int], ...]
    done: frozenset[int]
    table: int = _TABLE
    ranges: int = _TABLE + 8

    MOST_RANGES: ClassVar = 16


def assembled(spare: Path | None = None, stack: int = STACK_BYTES) -> Stub:
    """Return the stub, whose pieces of stack have *stack* bytes.

    It is kept in the user's cache, or else made in a folder of its own and not kept.

    Raises:
        CannotLaunch: there is no C compiler, or it fails.
    """
    source = _SOURCE.read_bytes()
    name = f"stub-{hashlib.sha256(source).hexdigest()[:16]}-{stack}.bin"
    folder = spare or cache_folder()
    if folder is None:
        with tempfile.TemporaryDirectory() as own:
            return _read(_made(Path(own), name, stack))
    built = folder / name
    return _read(built if _is_own(built) else _made(folder, name, stack))


def _is_own(path: Path) -> bool:
    """Whether a kept stub is ours: it will run inside programs."""
    try:
        status = path.lstat()
    except OSError:
        return False
    is_file = (status.st_mode & 0o170022) == 0o100000  # a regular file that nobody else may write
    return is_file and status.st_uid == os.geteuid() and _LEAST <= status.st_size <= _MOST


def _made(folder: Path, name: str, stack: int) -> Path:
    compiler = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if compiler is None:
        raise CannotLaunch("cannot record inline", "there is no C compiler here", "apt-get install gcc")
    built = folder / name
    partial = folder / f"{name}.{os.getpid()}"
    flags = ("-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0", "-Wl,--build-id=none")
    command = [*compiler.split(), *flags, f"-DSTACK_BYTES={stack}", "-o", str(partial), str(_SOURCE)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode or not partial.is_file():
        partial.unlink(missing_ok=True)
        lines = done.stderr.strip().splitlines() or ["it does not say why"]
        raise CannotLaunch("cannot record inline", f"its code cannot be assembled: {lines[-1]}")
    program = Elf(str(partial))
    partial.write_bytes(program.read(0, program.segments[0].file_size))
    partial.chmod(0o600)
    partial.replace(built)
    return built


def _read(path: Path) -> Stub:
    code = path.read_bytes()
    enter, leave, tail, help_, gate, name, sample, *others = _MARKS.unpack_from(code)
    filled, opened, nested, counted, timed, closed, *ends = others
    done = {at + i for at in (opened, counted, closed, *ends) for i in (0, _CODE.resume_length)}
    return Stub(
        code=code, enter=enter, leave=leave, tail=tail, help=help_, gate=gate, name=name, sample=sample, filled=filled,
        timed=timed, closed=closed, again=((enter, opened), (nested, counted), (leave, closed)), done=frozenset(done),
    )  # fmt: skip
