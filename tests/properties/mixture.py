"""Random programs of many ingredients (ingredients/), bare and under the observer, in all its ways; what differs.

What a program prints and how it ends follows from its seed and its length alone, so that both runs must be the same; it
tells how often it made a certain call, and the trace must have just as many; and no line of the ledger has a rest.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Final

from observer.errors import ObserverError
from observer.model.events import Call, Process
from observer.model.ledger import FAILING, UNVERIFIABLE
from observer.trace.reader import Trace
from tests.left_behind import left_after, processes_with
from tests.ordinary import NO_HOME, PREFIX, PYTHON
from tests.recordings import OBSERVER, environment_of_commands

__all__ = ["LENGTH", "WAYS", "Examined", "Mixture", "Ran", "Way", "read", "run", "way_of"]

HERE: Final = Path(__file__).resolve().parent
LENGTH: Final = 20
"""Steps of a program; those that it runs again itself have fewer."""
MARKED: Final = 10007
"""The size of the calls that a program counts (mixture.h)."""
BARE_SECONDS: Final = 30.0
OBSERVED_SECONDS: Final = 180.0
"""A program takes a tenth of a second, an observed one some three seconds."""
PERF_EVENT_OPEN: Final = "298"
MARKER: Final = "OBSERVER_MIXTURE"
BORN: Final = frozenset({"start", "fork", "vfork"})
"""What begins a process; a thread is none."""


@dataclass(frozen=True)
class Way:
    """How a program is observed: by whom, how much of it, and whether the kernel lets perf be used."""

    ordinary: bool
    all_calls: bool
    perf_denied: bool

    def __str__(self) -> str:
        words = ["an ordinary user" if self.ordinary else "as started"]
        words += ["-e trace=all"] * self.all_calls + ["perf denied"] * self.perf_denied
        return ", ".join(words)


WAYS: Final = tuple(
    Way(ordinary, all_calls, perf_denied)
    for perf_denied, all_calls, ordinary in product((False, False, True), (False, True), (False, True))
)
"""By turns; perf is denied in a third of them."""


def way_of(seed: int) -> Way:
    """Return in which way the program of *seed* is observed: always the same, so that a seed shows all again."""
    return WAYS[seed % len(WAYS)]


@dataclass(frozen=True)
class Ran:
    """A command that has ended: its status (None: it was still there at the deadline), its output, who is left."""

    status: int | None
    output: str
    errors: str
    left: Mapping[int, str]


def run(command: Sequence[str], seconds: float) -> Ran:
    """Run *command* for so many seconds at most; what is left of it after that is named, and killed."""
    marker = f"{os.getpid()}-{time.monotonic_ns()}"
    with (
        tempfile.TemporaryFile("w+", errors="replace") as output,
        tempfile.TemporaryFile("w+", errors="replace") as errors,
    ):
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, cwd="/", start_new_session=True,
            env={**environment_of_commands(), MARKER: marker},
        )  # fmt: skip
        status, patience = None, 0.0
        try:
            status, patience = started.wait(seconds), 5.0
        except subprocess.TimeoutExpired:
            pass
        finally:  # whoever interrupts us leaves nobody either
            left = left_after(f"{MARKER}={marker}", patience)
            _kill_all(f"{MARKER}={marker}")
            started.wait()
        output.seek(0)
        errors.seek(0)
        return Ran(status, output.read(), errors.read(), left)


def _kill_all(variable: str) -> None:
    """Kill whoever has *variable*, and whom they make meanwhile."""
    while left := processes_with(variable):
        for process in left:
            with suppress(ProcessLookupError):  # it was about to end
                os.kill(process, signal.SIGKILL)


@dataclass
class Examined:
    """What one program came to: its trace, all that is not as it must be, and what was seen."""

    trace: Path
    reasons: list[str] = field(default_factory=list)
    seen: Counter[str] = field(default_factory=Counter)
    """Of calls, faults and processes."""


class Mixture:
    """The compiled program in a folder that everyone may use, in which traces are left."""

    def __init__(self, folder: Path) -> None:
        folder.chmod(0o777)
        self.folder = folder
        self.program = _compile(sorted((HERE / "ingredients").glob("*.c")), folder / "mixture")
        self.deny = _compile([HERE.parent / "live" / "deny.c"], folder / "deny")

    def command(self, seed: int, length: int) -> list[str]:
        """Return the words that run the program of *seed*."""
        return [self.program, str(seed), str(length), str(self.folder)]

    def examine(self, command: Sequence[str], way: Way, trace: Path) -> Examined:
        """Run *command* bare and then observed with its trace in *trace*; return what is not as it must be."""
        found = Examined(trace)
        bare = run([*PREFIX, *command] if way.ordinary else command, BARE_SECONDS)
        if bare.status is None or bare.left:
            found.reasons.append(f"bare it did not end in {BARE_SECONDS:.0f} s, or left {_named(bare.left)}")
            return found
        observed = run([*self.observer(way), "-o", str(trace), "--", *command], OBSERVED_SECONDS)
        found.reasons += differences(bare, observed)
        try:
            found.reasons += read(trace, observed.output, found.seen)
        except ObserverError as error:
            found.reasons.append(f"the trace cannot be read: {error}")
        return found

    def observer(self, way: Way) -> list[str]:
        """Return the words before those of a run in this way."""
        words, python = ["env"], OBSERVER
        if way.ordinary and PYTHON is not None:
            words, python = [*PREFIX, "env", f"PYTHONPATH={PYTHON[1]}", NO_HOME], [PYTHON[0], *OBSERVER[1:]]
        denied = [self.deny, PERF_EVENT_OPEN] if way.perf_denied else []
        return [*words, *denied, *python, "run", "-q", "--allow-loss", *["-e", "trace=all"] * way.all_calls]


def _named(left: Mapping[int, str]) -> str:
    """Return how many processes are left, and the first of them."""
    return f"{len(left)} processes" + "".join(f", {process}: {command}" for process, command in list(left.items())[:3])


def _compile(sources: Sequence[Path], target: Path) -> str:
    words = ["gcc", "-O0", "-g", "-Wall", "-Wextra", "-Werror", "-fno-builtin", "-D_GNU_SOURCE", "-pthread"]
    subprocess.run([*words, *map(str, sources), "-o", str(target)], check=True)
    target.chmod(0o755)
    return str(target)


def differences(bare: Ran, observed: Ran) -> Iterator[str]:
    """Yield how an observed run differs from the bare one to whoever waits for it and reads its output."""
    if observed.status is None:
        yield f"it did not end in {OBSERVED_SECONDS:.0f} s"
        return
    if observed.status != bare.status:
        yield f"status {observed.status}, bare {bare.status}"
    if observed.output != bare.output:
        yield f"output {observed.output!r}, bare {bare.output!r}"
    if "Traceback" in observed.errors:
        yield f"a traceback: {observed.errors[-1000:]}"
    if observed.left:
        yield f"left behind: {_named(observed.left)}"


def read(folder: Path, output: str, seen: Counter[str]) -> Iterator[str]:
    """Yield what the trace in *folder* cannot explain or misses; add to *seen* what it has."""
    trace = Trace.open(folder)
    for line in trace.meta.ledger:
        if line.verdict in FAILING or (line.unexplained and line.verdict != UNVERIFIABLE):
            yield f"{line.identity}: seen {line.seen}, expected {line.expected}, unexplained {line.unexplained}, lost {line.lost}"
    if trace.meta.heap_damage:
        yield f"a heap that nobody broke: {trace.meta.heap_damage}"
    marked = 0
    for event in trace.events(frozenset({"call", "fault", "process"})):
        if not isinstance(event, Process):
            seen["calls" if isinstance(event, Call) else "faults"] += 1
        elif event.what in BORN:
            seen["processes"] += 1
        if isinstance(event, Call) and event.misuse is not None:
            yield f"event {event.n}, {event.op}, is told to break a rule: {event.misuse}"
        marked += isinstance(event, Call) and (event.op, event.size, event.origin) == ("malloc", MARKED, "program")
    told = sum(map(int, re.findall(r" marks (\d+)$", output, re.MULTILINE)))
    if marked != told:
        yield f"{marked} calls of malloc({MARKED}), the program made {told}"
