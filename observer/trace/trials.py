"""One program under several allocators: recorded once under each, then run lightly in rounds.

A round is one light run under each allocator, and the next round begins with another of them: what disturbs the
machine for a while disturbs all alike.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from observer.model.footprint import Conduct, LightRun, Trial
from observer.model.ledger import worst
from observer.model.machine import Machine, Meta
from observer.trace.database import close_database
from observer.trace.under import conduct_of, record_under
from observer.tracee.allocators import Library, Missing, definers_of_malloc, has_glibc_inside, known, lacking
from observer.tracee.measured import run_lightly
from observer.tracee.musl import version_of
from observer.tracee.streams import Streams

__all__ = ["DEFAULT", "Series", "Variant"]

DEFAULT: Final = "glibc"
"""The name of a program's own C library's allocator, unless the run shows another."""
_MUSL: Final = "musl"
_ITS_OWN: Final = "its own"


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to run the program: its words and environment, and the library that is preloaded for it, if any.

    `identity` is what is known of the allocator beforehand; None for the program as it is.
    """

    allocator: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    identity: Library | None = None
    is_preloaded: bool = False
    remarks: tuple[str, ...] = ()


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


class Series:
    """The runs of one program under its variants; traces go into *folder*, a folder for each allocator.

    `missing` grows by the allocators that turned out to have no effect.
    """

    def __init__(self, variants: Sequence[Variant], folder: Path, scratch: Path, machine: Machine) -> None:
        self._variants = variants
        self._folder = folder
        self._scratch = scratch
        self._machine = machine
        self._streams = Streams(scratch)
        self._recorded: list[_Recorded] = []
        self.missing: list[Missing] = []

    def record(self, while_working: Callable[[str], AbstractContextManager[object]] = nullcontext) -> None:
        """Record the program under each variant; the first one's output is shown, as is what it says of errors.

        *while_working* is entered with a line that says what goes on.
        """
        for number, variant in enumerate(self._variants):
            directory = self._folder / variant.allocator
            errors = self._scratch / "messages"
            with (
                nullcontext() if number == 0 else while_working(f"recording under {variant.allocator}"),
                self._streams.aside(errors, shown=number == 0),
            ):
                meta = record_under(variant.words, variant.environment, directory, self._machine)
            reason = _why_without_effect(variant, meta, errors)
            if not reason and self._has_already(variant):
                reason = "the program has it already"
            if reason:
                self.missing.append(Missing(variant.allocator, reason))
                continue
            with while_working(f"accounting for {variant.allocator}"):
                self._keep(variant, meta, conduct_of(directory))

    def _has_already(self, variant: Variant) -> bool:
        path = variant.identity.path if variant.identity is not None else None
        return variant.is_preloaded and any(each.identity.path == path for each in self._recorded)

    def _keep(self, variant: Variant, meta: Meta, conduct: Conduct) -> None:
        identity = variant.identity or _own_allocator(meta)
        remarks = (*variant.remarks, *_remarks(variant, meta, identity, conduct))
        self._recorded.append(_Recorded(variant, meta, conduct, identity, remarks))

    def time(self, rounds: int, while_working: Callable[[str], AbstractContextManager[object]] = nullcontext) -> None:
        """Make *rounds* rounds of light runs under all variants that were recorded."""
        errors = self._scratch / "messages"
        close_database()
        for number in range(rounds):
            with while_working(f"timing, round {number + 1} of {rounds}"):
                for each in _turned(self._recorded, number):
                    with self._streams.aside(errors, shown=False):
                        each.runs.append(run_lightly(each.variant.words, each.variant.environment))

    def trials(self) -> list[Trial]:
        """Return what all came to, in the order of the variants."""
        expected = self._recorded[0].status
        return [_trial(each, expected) for each in self._recorded]


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


# ---- who answers malloc -------------------------------------------------------------------------------------


def _why_without_effect(variant: Variant, meta: Meta, errors: Path) -> str:
    """Return why preloading had no effect, empty if it had."""
    if variant.identity is None or not variant.is_preloaded:
        return ""
    path = variant.identity.path
    if path not in {image.path for image in meta.images}:
        return f"its library was not loaded: {_loaders_word(errors)}"
    program = next((image.path for image in meta.images if image.role == "program"), "")
    for other in definers_of_malloc(meta.images):
        if other == path:
            break
        if other == program:
            return "the program brings a malloc of its own, which comes before any library's"
        if known(other) is not None:
            return f"{os.path.basename(other)} comes before it"
    if meta.ends and len(_without(path, meta)) == len(meta.ends):
        return "the program ended without it: it starts itself anew without LD_PRELOAD"
    return ""


def _without(path: str, meta: Meta) -> list[str]:
    """Return the programs of the processes that at their end did not have the library at *path*."""
    return [end.path for end in meta.ends if all(mapping.path != path for mapping in end.mappings)]


def _loaders_word(errors: Path) -> str:
    """Return what the loader said (ld.so(8)); it says nothing in secure-execution mode."""
    try:
        lines = errors.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        lines = []
    word = next((line.partition("ld.so: ")[2] for line in lines if "ld.so: object" in line), "")
    return word or "the loader ignores LD_PRELOAD for programs that change their user or capabilities (ld.so(8))"


def _remarks(variant: Variant, meta: Meta, identity: Library, conduct: Conduct) -> Iterable[str]:
    """Yield what comes between the program and the allocator."""
    own = {identity.path, meta.machine.libc}
    roles = {image.path: image.role for image in meta.images}
    for path in definers_of_malloc(meta.images):
        if path in own:
            break
        if roles[path] == "library":
            yield f"{os.path.basename(path)} defines malloc before it: what it passes on is its affair"
    without = _without(identity.path, meta) if variant.is_preloaded else []
    if without:
        names = ", ".join(dict.fromkeys(os.path.basename(each) for each in without))
        yield f"{len(without)} of {len(meta.ends)} processes ran without it: {names}"
    left = lacking(identity.path, conduct.calls) if variant.is_preloaded else []
    if left:
        yield f"it has no {', '.join(left)}: the C library answers, from a heap that this allocator cannot free into"


def _own_allocator(meta: Meta) -> Library:
    """Return which allocator a program has when nothing is preloaded by us."""
    program = next((image.path for image in meta.images if image.role == "program"), "")
    libc, version = meta.machine.libc, meta.machine.libc_version
    for path in definers_of_malloc(meta.images):
        library = known(path)
        if library is not None:
            return library
        if path == program and not has_glibc_inside(path):
            return Library(_ITS_OWN, path, "unknown", "")
    if _MUSL in libc:
        return Library(_MUSL, libc, *version_of(libc))
    if not libc and not has_glibc_inside(program):
        return Library(_ITS_OWN, program, "unknown", "")
    return Library(DEFAULT, libc or program, version or "unknown", "the library's own banner" if version else "")
