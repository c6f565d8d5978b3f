"""A whole replay in memory: what small hand-made runs come to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from observer.trace.columns import Columns
from observer.trace.evidence import Lives
from observer.trace.findings import Findings
from observer.trace.lives import images_of
from observer.trace.part import Part
from observer.trace.replay import replayed
from observer.trace.spooled import Spooled, Stored


@dataclass
class Table:
    """The columns of one kind of event: numbers and texts by name."""

    numbers: dict[str, npt.NDArray[Any]] = field(default_factory=dict)
    texts: dict[str, npt.NDArray[Any]] = field(default_factory=dict)


@dataclass
class Collected:
    """All parts of a run, as they are and as one, and what the replay found beside them."""

    parts: list[Part]
    findings: Findings
    lives: Lives
    calls: Table
    syscalls: Table
    faults: Table
    signals: list[dict[str, Any]]
    processes: list[dict[str, Any]]

    @property
    def live_chunks(self) -> int:
        return self.findings.live_chunks

    @property
    def live_bytes(self) -> int:
        return self.findings.live_bytes


def collect(spooled: Spooled, *, residency: bool = False, **options: Any) -> Collected:
    """Replay what was recorded; *options* are those of `replayed`."""
    findings, lives = Findings(images=images_of(spooled.notes)), Lives(spooled.notes)
    parts = list(replayed(spooled, findings, lives, residency=residency, **options))
    return Collected(
        parts, findings, lives,
        *(table([getattr(part, kind) for part in parts]) for kind in ("calls", "syscalls", "faults")),
        [row for part in parts for row in part.signals], [row for part in parts for row in part.processes],
    )  # fmt: skip


def table(parts: list[Columns]) -> Table:
    """The columns of all *parts* as one."""
    arrays = [part.arrays() for part in parts]
    whole = {name: np.concatenate([part[name] for part in arrays]) for name in arrays[0]}
    texts = {name: values for name, values in whole.items() if name in parts[0].texts}
    return Table({name: values for name, values in whole.items() if name not in texts}, texts)


def records(stored: Stored) -> npt.NDArray[Any]:
    """All records of one kind."""
    return np.concatenate([np.empty(0, dtype=stored.layout), *stored.pieces()])
