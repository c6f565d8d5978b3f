"""The reference machines for a recorded run or for a machine that is only thought of: the one place that makes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from observer.errors import UsageError
from observer.model.addresses import PAGE
from observer.model.machine import Machine, Meta
from observer.simulator.book_side import BookSide
from observer.simulator.commit import Commitment
from observer.simulator.frame_side import FrameSide
from observer.simulator.frames import Frames
from observer.simulator.glibc_side import GlibcMaker
from observer.simulator.machine import BookMachine

__all__ = [
    "WORD_BITS", "Hardware", "book_machine", "book_model", "check_release", "check_width", "exact_model",
    "exact_model_if_known", "paging_model",
]  # fmt: skip

WORD_BITS: Final = 64
"""How wide the words are that all the reference machines count in."""


# ---- beside a recorded run ----------------------------------------------------------------------------------


def book_model(fit: str = "first") -> Callable[[], BookSide]:
    """Return what makes the book's allocator for a process; *fit* is first, best or next."""
    return partial(BookSide, fit)


def paging_model(meta: Meta, thp: str | None = None) -> Callable[[], FrameSide]:
    """Return what makes the model of a process's memory; *thp* is always, madvise or never, None: as the run's was."""
    return partial(FrameSide, meta.machine.thp if thp is None else thp, meta.machine.page_size)


def exact_model(meta: Meta, release: str | None = None, thp: str | None = None) -> GlibcMaker:
    """Return what makes the exact model of the run's C library, with the run's tunables and processors.

    Args:
        release: of glibc, None: as recorded.
        thp: transparent huge pages (always, madvise, never), None: as the run's machine had them.

    Raises:
        UsageError: the run has no glibc that names its release, or there is no model of this one.
    """
    return _exact_model(meta.machine, meta.request.environment, release, thp)


def exact_model_if_known(
    machine: Machine, environment: Mapping[str, str], release: str | None = None, thp: str | None = None
) -> GlibcMaker | None:  # fmt: skip
    """Return what `exact_model` does of a run on *machine* with this *environment*, None where there is no model."""
    try:
        return _exact_model(machine, environment, release, thp)
    except UsageError:
        return None


def _exact_model(
    machine: Machine, environment: Mapping[str, str], release: str | None, thp: str | None
) -> GlibcMaker:  # fmt: skip
    version = release or machine.libc_version
    if not version:
        raise UsageError(
            "the C library of this run is no glibc that names its release", machine.libc or "none was seen",
            "--libc RELEASE for a static program",
        )  # fmt: skip
    return _tried(
        GlibcMaker(version, environment, machine.processors, thp or machine.thp, page_size=machine.page_size)
    )  # fmt: skip


def check_release(release: str) -> None:
    """Raise UsageError for a *release* of glibc that there is no model of."""
    _tried(GlibcMaker(release, {}, 1, "never"))


def _tried(model: GlibcMaker) -> GlibcMaker:
    model(0)  # an unknown release is said before anything else
    return model


def check_width(meta: Meta) -> None:
    """Raise UsageError for the run of a program whose words are not 64 bits wide."""
    if meta.machine.program_bits != WORD_BITS:
        raise UsageError(
            "the reference machines are of 64-bit programs", "this one is for i386", "observer run tells what it does"
        )


# ---- a machine that is only thought of ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Hardware:
    """The book's machine. `frames` are its page frames, None: as many as are asked for; `policy` says which page gives
    way: fifo, clock or lru. `overcommit` is as vm.overcommit_memory (proc(5)) with `memory_bytes` of memory, None: all
    is promised.
    """

    fit: str = "first"
    thp: str = "madvise"
    frames: int | None = None
    policy: str = "clock"
    overcommit: int | None = None
    memory_bytes: int = 1 << 30


def book_machine(hardware: Hardware, source: str) -> BookMachine:
    """Return the book's machine; *source* is the workload's name, for the events' sites."""
    commitment = None
    if hardware.overcommit is not None:
        commitment = Commitment(hardware.overcommit, hardware.memory_bytes // PAGE)
    frames = Frames(hardware.frames, hardware.policy) if hardware.frames else None
    return BookMachine(fit=hardware.fit, source=source, thp=hardware.thp, frames=frames, commitment=commitment)
