"""One attempt at a lab: its source built, run under the observer within limits, and what it did."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.errors import BadLab, ObserverError
from observer.files import open_regular
from observer.labs.anchors import anchors_in
from observer.labs.box import Box, Limits
from observer.labs.lab import Lab
from observer.labs.program import Program, program_in
from observer.labs.recorder import Job
from observer.labs.recording import Recorder
from observer.model.ledger import FAILING, worst
from observer.model.operations import ALLOCATING
from observer.trace.reader import Trace
from observer.tracee.compiling import first_error

__all__ = ["HEADER", "Attempt", "header_of", "make_attempt", "sources_in"]

HEADER: Final = "parameters.h"
"""The file that a lab's programs include for their parameters."""
_FLAGS: Final = ("-g", "-O0", "-fno-builtin", "-std=gnu11", "-pthread", "-I.")
_BUILDING: Final = Limits(seconds=20, memory=1 << 30, file=64 << 20)
_MOST_EVENTS: Final = 100_000
_MOST_SHOWN: Final = 2000
_LARGEST_SOURCE: Final = 8 << 20
"""Bytes, as many as a hand-in may have."""
_TRACE: Final = "trace"
_OUR_TIME: Final = 20
"""Seconds that launching, following and balancing may take beside the program's own."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How it ended: `verdict` is OK, RE (it crashed, failed, or cannot be built), TO, ML or OL (time, memory, output
    used up) or XX (our failure), with `why`. `program` is what it did, None if there is nothing to judge.
    """

    verdict: str
    why: str = ""
    program: Program | None = None
    anchors: dict[str, list[str]] = field(default_factory=dict)
    output: str = ""


def header_of(values: Mapping[str, int]) -> str:
    """Return the text of parameters.h that gives a lab's parameters their *values*."""
    return "".join(f"#define {name} {value}\n" for name, value in values.items())


def make_attempt(
    lab: Lab, sources: Mapping[str, bytes], seed: str, recorder: Recorder, *, box: Box, keep: Path | None = None
) -> Attempt:
    """Build and run the *sources* (name: content) of *lab* in *box*.

    The trace goes to the new folder *keep*, if one is named and there is a trace.

    Raises:
        ObserverError: temporary files cannot be written.
    """
    missing = [name for name in lab.sources if name not in sources]
    if missing:
        return Attempt("RE", f"{missing[0]} is missing")
    with _workshop(box) as (shown, kept):
        for name in lab.sources:
            (shown / name).write_bytes(sources[name])
        for name, content in sources_in(lab.folder / "handout", lab.given).items():
            (shown / name).write_bytes(content)
        (shown / HEADER).write_text(header_of(lab.values(seed)))
        failed = _build(lab, shown, box)
        attempt = failed or _run(lab, shown, kept, recorder, box)
        if keep is not None and attempt.program is not None:
            shutil.copytree(kept / _TRACE, keep)
        return attempt


@contextmanager
def _workshop(box: Box) -> Iterator[tuple[Path, Path]]:
    """Give two new folders: one that the program sees, and one for the trace that it does not."""
    try:
        with tempfile.TemporaryDirectory(prefix="observer-lab-") as outer:
            os.chmod(outer, 0o755)  # who is in the box reaches the first one through it
            shown, kept = Path(outer, "shown"), Path(outer, "kept")
            shown.mkdir(0o755)
            kept.mkdir(0o700)
            box.owns(shown)
            yield shown, kept
    except OSError as error:
        raise ObserverError("cannot write temporary files", error.strerror or str(error), "TMPDIR=FOLDER") from error


# ---- building -----------------------------------------------------------------------------------------------


def _build(lab: Lab, folder: Path, box: Box) -> Attempt | None:
    """Compile the lab's program; return the attempt if it ends here."""
    sources = [name for name in (*lab.sources, *lab.given) if name.endswith(".c")]
    words = ["gcc", *_FLAGS, *lab.flags, "-o", lab.name, *sources, "-lm"]
    command = box.command(words, folder, _BUILDING, writing=True)
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=_BUILDING.seconds * 2, check=False, env=None if box is Box.NONE else box.environment,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Attempt("TO", "the compiler did not end in time")
    except FileNotFoundError as error:
        return Attempt("XX", f"{error.filename} is not installed")
    if done.returncode == 0:
        return None
    if shutil.which("gcc") is None:
        return Attempt("XX", "gcc is not installed")
    return Attempt("RE", f"it cannot be built: {first_error(done.stderr)}")


# ---- running ------------------------------------------------------------------------------------------------


def _run(lab: Lab, shown: Path, kept: Path, recorder: Recorder, box: Box) -> Attempt:
    limits = Limits(lab.seconds, lab.memory_mib << 20)
    path = box.inside(shown) / lab.name
    command = box.command([str(path), *lab.arguments], shown, limits)
    output, errors = kept / "output", kept / "errors"
    seconds = 5 * lab.seconds + _OUR_TIME
    ended = recorder.record(Job(
        command=command, environment=box.environment, folder=str(shown), trace=str(kept / _TRACE),
        output=str(output), errors=str(errors), max_events=_MOST_EVENTS, seconds=seconds,
        malloc_functions=dict(lab.allocator), expression=lab.expression,
    ))  # fmt: skip
    box.clear()
    if ended.status is None:
        return Attempt("TO", f"it had not ended after {seconds} s", output=_begin_of(output))
    if ended.status:
        return Attempt("XX", ended.why, output=_begin_of(output))
    trace = Trace.open(kept / _TRACE)
    program = program_in(trace.events(), trace.meta, str(path))
    written = max(path.stat().st_size for path in (output, errors))
    verdict, why = _verdict(program, written >= limits.file)
    anchors = anchors_in(shown / name for name in (*lab.sources, *lab.given))
    return Attempt(verdict, why, program if _is_whole(program) else None, anchors, _begin_of(output))


def _is_whole(program: Program) -> bool:
    """Whether all that the program did was recorded: of a part of it no fact can be told."""
    return program.meta.outcome.events < _MOST_EVENTS


def _begin_of(output: Path) -> str:
    return output.read_bytes()[:_MOST_SHOWN].decode(errors="replace") if output.exists() else ""


def _verdict(program: Program, flooded: bool) -> tuple[str, str]:
    if program.root is None:
        return "XX", "the program never began"
    killed = next((event.signal for event in program.signals if event.fatal and event.pid == program.root), "")
    killed = killed or program.killed
    if any(event.signal == "SIGXCPU" for event in program.signals):
        return "TO", "its processor time was used up"
    if killed == "SIGXFSZ" or flooded:
        return "OL", "it wrote more than it may"
    if not _is_whole(program):
        return "OL", f"it did more than is recorded: {_MOST_EVENTS:,} calls, system calls and page faults"
    if worst(program.meta.ledger) in FAILING:
        return "XX", f"the ledger is {worst(program.meta.ledger)}: not every event is accounted for"
    if not killed and program.status == 0:
        return "OK", ""
    if _ran_out(program):
        return "ML", "it got no more memory"
    return "RE", f"it was ended by {killed}" if killed else f"it ended with status {program.status}"


def _ran_out(program: Program) -> bool:
    """Whether memory was refused to the program."""
    refused = (call.op in ALLOCATING and call.end_ns is not None and not call.result for call in program.own_calls)
    return any(refused)


def sources_in(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """Return the content of those files of *names* that are in *folder*; raises BadLab where one cannot be read."""
    return {name: _content(folder / name) for name in names if os.path.isfile(folder / name)}


def _content(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            content = file.read(_LARGEST_SOURCE + 1)
    except OSError as error:
        raise BadLab(f"cannot read {path}", error.strerror or "") from error
    if len(content) > _LARGEST_SOURCE:
        raise BadLab(f"{path} is no source", f"it has more than {_LARGEST_SOURCE:,} bytes")
    return content
