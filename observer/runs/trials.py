"""One program under several allocators: recorded once under each, then run lightly in rounds.

A round is one light run under each allocator, and the next round begins with another of them: what disturbs the
machine for a while disturbs all alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.instruments.session import Wish
from observer.model.footprint import Conduct, LightRun, Trial
from observer.model.ledger import worst
from observer.model.machine import Meta
from observer.model.selection import Selection
from observer.runs.answering import own_allocator, remarks_on, why_without_effect
from observer.runs.holdings import account, find_peaks
from observer.runs.record import record_uninterrupted
from observer.runs.variants import Variant
from observer.trace.database import close_database
from observer.trace.reader import Trace
from observer.tracee.allocators import Library, Missing, known
from observer.tracee.measured import run_lightly
from observer.tracee.streams import Streams

__all__ = ["Working", "tried"]

_TREE: Final = frozenset({"call", "process"})

Working = Callable[[str], AbstractContextManager[object]]
"""Entered, with a line that says what goes on, while something is done that takes long."""


def tried(
    variants: Sequence[Variant], rounds: int, folder: Path, scratch: Path, while_working: Working = nullcontext
) -> tuple[list[Trial], list[Missing]]:
    """Run one program under its *variants*: recorded once each, then in *rounds* rounds of light runs.

    The first one's output is shown on our standard error, as is what it says of errors.

    Args:
        folder: where the traces go, a folder for each allocator.
        scratch: a folder for what is needed meanwhile.

    Returns:
        what all came to, in the order of the variants, and the allocators that turned out to have no effect.

    Raises:
        BadTrace, CannotLaunch, CannotObserve: as `record.record_run`.
        KeyboardInterrupt: the user interrupted; then the program has ended.
    """
    series = _Series(variants, folder, scratch)
    series.record(while_working)
    series.time(rounds, while_working)
    return series.trials(), series.missing


@dataclass(slots=True)
class _Recorded:
    """A variant that was recorded."""

    variant: Variant
    meta: Meta
    conduct: Conduct
    identity: Library
    remarks: tuple[str, ...]
    runs: list[LightRun] = field(default_factory=list)

    @property
    def status(self) -> str:
        outcome = self.meta.outcome
        return outcome.signal or f"exit {outcome.status}"


class _Series:
    """The runs of one program under its variants; `missing` grows by the allocators that turn out to have no effect."""

    def __init__(self, variants: Sequence[Variant], folder: Path, scratch: Path) -> None:
        self._variants = variants
        self._folder = folder
        self._errors = scratch / "messages"
        self._streams = Streams(scratch)
        self._recorded: list[_Recorded] = []
        self.missing: list[Missing] = []

    def record(self, while_working: Working) -> None:
        """Record the program under each variant."""
        for number, variant in enumerate(self._variants):
            directory = self._folder / variant.allocator
            with (
                nullcontext() if number == 0 else while_working(f"recording under {variant.allocator}"),
                self._streams.aside(self._errors, shown=number == 0),
            ):
                meta = record_uninterrupted(_wish(variant), directory)
            reason = why_without_effect(variant, meta, self._errors)
            if not reason and self._has_already(variant):
                reason = "the program has it already"
            if reason:
                self.missing.append(Missing(variant.allocator, reason))
                continue
            with while_working(f"accounting for {variant.allocator}"):
                self._keep(variant, meta, _conduct_of(directory))

    def _has_already(self, variant: Variant) -> bool:
        path = variant.identity.path if variant.identity is not None else None
        return variant.is_preloaded and any(each.identity.path == path for each in self._recorded)

    def _keep(self, variant: Variant, meta: Meta, conduct: Conduct) -> None:
        identity = variant.identity or own_allocator(meta)
        remarks = (*variant.remarks, *remarks_on(variant, meta, identity, conduct))
        self._recorded.append(_Recorded(variant, meta, conduct, identity, remarks))

    def time(self, rounds: int, while_working: Working) -> None:
        """Make *rounds* rounds of light runs under all variants that were recorded."""
        close_database()
        for number in range(rounds):
            with while_working(f"timing, round {number + 1} of {rounds}"):
                for each in _turned(self._recorded, number):
                    with self._streams.aside(self._errors, shown=False):
                        each.runs.append(run_lightly(each.variant.words, each.variant.environment))

    def trials(self) -> list[Trial]:
        """Return what all came to, in the order of the variants."""
        expected = self._recorded[0].status
        return [_trial(each, expected) for each in self._recorded]


def _wish(variant: Variant) -> Wish:
    """Return it with all memory system calls, and small pages only.

    One fault then brings one page, and resident bytes can be counted by faults.
    """
    return Wish(variant.words, dict(variant.environment), Selection(), huge_pages=False)


def _conduct_of(directory: Path) -> Conduct:
    """Return what the allocator did in the recorded run in *directory*."""
    trace = Trace.open(directory)
    libraries = (known(image.path) for image in trace.meta.images)
    modules = frozenset(os.path.basename(library.path) for library in libraries if library is not None)
    return account(trace.events(), find_peaks(trace.events(_TREE), modules), modules)


def _turned(items: Sequence[_Recorded], by: int) -> list[_Recorded]:
    by %= len(items)
    return [*items[by:], *items[:by]]


def _trial(each: _Recorded, expected: str) -> Trial:
    return Trial(
        allocator=each.identity.allocator, version=each.identity.version, version_from=each.identity.version_from,
        conduct=each.conduct, verdict=worst(each.meta.ledger), status=each.status, runs=tuple(each.runs),
        remarks=(*each.remarks, *_differing(each, expected)),
    )  # fmt: skip


def _differing(each: _Recorded, expected: str) -> Iterable[str]:
    """Yield a remark if the runs did not all end as the first one did."""
    ends = {run.status for run in each.runs} | {each.status}
    if ends != {expected}:
        yield f"ended with {', '.join(sorted(ends))}, not with {expected}: its figures are not comparable"
