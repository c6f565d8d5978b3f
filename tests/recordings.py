"""Running `observer run` in tests, and looking at what it left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from observer.model.events import Call, Event, Fault, Process, Signal, Syscall
from observer.model.ledger import FAILING
from observer.trace.reader import Trace

OBSERVER = [sys.executable, "-m", "observer"]
ORDINARY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]


@dataclass
class Recorded:
    """A finished `observer run`: its trace and what it printed."""

    directory: Path
    status: int
    stdout: str
    stderr: str

    @cached_property
    def trace(self) -> Trace:
        return Trace.open(self.directory)

    @cached_property
    def events(self) -> list[Event]:
        return list(self.trace.events())

    @property
    def calls(self) -> list[Call]:
        return [event for event in self.events if isinstance(event, Call)]

    @property
    def syscalls(self) -> list[Syscall]:
        return [event for event in self.events if isinstance(event, Syscall)]

    @property
    def faults(self) -> list[Fault]:
        return [event for event in self.events if isinstance(event, Fault)]

    @property
    def signals(self) -> list[Signal]:
        return [event for event in self.events if isinstance(event, Signal)]

    @property
    def processes(self) -> list[Process]:
        return [event for event in self.events if isinstance(event, Process)]

    @property
    def facts(self) -> dict[str, str]:
        """What a sample said of itself."""
        rows = [line.split(None, 2) for line in self.stdout.splitlines() if line.startswith("fact ")]
        return {row[1]: row[2] for row in rows}

    def assert_balanced(self) -> None:
        """Every line of the ledger is without an unexplained rest and nothing was lost."""
        for line in self.trace.meta.ledger:
            assert line.verdict not in FAILING, line
            assert line.unexplained == 0 or line.verdict == "UNVERIFIABLE", line


PATCHED: Final = {"OBSERVER_COMPILED": "no"}
"""What a command needs in its environment that exchanges methods of ours: compiled ones do not look for others."""


def environment_of_commands() -> dict[str, str]:
    """Return what commands find in their environment, whoever runs them: its size alone moves the heap of many programs."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}


def run_observer(
    command: Sequence[str],
    directory: Path,
    *,
    options: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
    timeout: float | None = None,
    cwd: Path | None = None,
) -> Recorded:
    """Run `observer run -o DIRECTORY OPTIONS -- COMMAND`, for as long as the test may take, or *timeout* seconds."""
    words = [*prefix, *OBSERVER, "run", "-o", str(directory), *options, "--", *command]
    done = subprocess.run(
        words, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=timeout, cwd=cwd,
        env={**environment_of_commands(), **(environment or {})},
    )  # fmt: skip
    return Recorded(directory, done.returncode, done.stdout, done.stderr)
