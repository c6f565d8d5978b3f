"""What a replay finds beside the events: values that belong to the whole run."""

from __future__ import annotations

from dataclasses import dataclass, field

from observer.model.addresses import AddressSpace
from observer.model.machine import Image, ProcessEnd
from observer.trace.beside import Blocks
from observer.trace.columns import SiteTable
from observer.trace.heap_pages import HeapPages
from observer.trace.heaps import Beside
from observer.trace.snapshots import Taken

__all__ = ["Findings", "KernelTotals"]


@dataclass(slots=True)
class KernelTotals:
    """What was made of the kernel's own events.

    Fault samples whose handling is known (`faults_joined`) and those of which it is not, system calls of which it is;
    all page frames that perf told of, those of them for page faults, recorded system calls and interrupts, and those of
    tasks on their way out (`late`); those that bcc told of, in all and late.
    """

    faults_joined: int = 0
    faults_apart: int = 0
    calls_joined: int = 0
    frames: int = 0
    frames_in_faults: int = 0
    frames_in_calls: int = 0
    frames_in_interrupts: int = 0
    frames_witnessed: int = 0
    frames_late: int = 0
    frames_witnessed_late: int = 0

    @property
    def frames_elsewhere(self) -> int:
        """Page frames for anything else."""
        return self.frames - self.frames_in_faults - self.frames_in_calls - self.frames_in_interrupts


@dataclass(slots=True)
class Findings:
    """Grows while a run is replayed; true for all of it when the replay has come to its end.

    For each of the `ends` there is the address space as it was `replayed`, and what is known of its pages. `events`
    counts them all, `last_ns` is when the last began, `refused_faults` counts the signals for page faults that the
    kernel counted and refused.
    """

    sites: SiteTable = field(default_factory=SiteTable)
    images: list[Image] = field(default_factory=list)
    ends: list[ProcessEnd] = field(default_factory=list)
    replayed: list[AddressSpace] = field(default_factory=list)
    heap_pages: list[HeapPages] = field(default_factory=list)
    blocks: list[Blocks] = field(default_factory=list)
    heaps: list[Beside] = field(default_factory=list)
    snapshots: list[Taken] = field(default_factory=list)
    kernel: KernelTotals = field(default_factory=KernelTotals)
    events: int = 0
    last_ns: int = 0
    live_bytes: int = 0
    live_chunks: int = 0
    refused_faults: int = 0
    has_visible_frames: bool = False
    asks_for_huge_pages: bool = False
