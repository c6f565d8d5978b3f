"""The ledger: identities that hold if nothing was missed, with both sides and what explains a difference."""

from __future__ import annotations

from typing import Final, Literal

import msgspec

__all__ = [
    "COMPLETE",
    "EXCLUSIONS",
    "FAILING",
    "INCOMPLETE",
    "INCONSISTENT",
    "LIVE_BYTES",
    "SNAPSHOT_BYTES",
    "UNVERIFIABLE",
    "Exclusion",
    "LedgerLine",
    "Verdict",
    "balance",
    "headline",
    "unverifiable",
    "worst",
]

COMPLETE: Final = "COMPLETE"
EXCLUSIONS: Final = "COMPLETE WITH EXCLUSIONS"
UNVERIFIABLE: Final = "UNVERIFIABLE"
LIVE_BYTES: Final = "bytes in live pieces' chunks = chunks in use in the walked heap"
"""The identity whose note tells where a heap is damaged."""
SNAPSHOT_BYTES: Final = "bytes in live pieces' chunks = chunks in use in snapshots of the heap"
"""The same, at moments in the midst of the run."""
INCOMPLETE: Final = "INCOMPLETE"
INCONSISTENT: Final = "INCONSISTENT"
FAILING: Final = frozenset({INCOMPLETE, INCONSISTENT})
_ORDER: Final = (COMPLETE, EXCLUSIONS, INCOMPLETE, INCONSISTENT)


Verdict = Literal["COMPLETE", "COMPLETE WITH EXCLUSIONS", "UNVERIFIABLE", "INCOMPLETE", "INCONSISTENT"]
"""What a line comes to; a trace that somebody changed may hold no other word."""


class Exclusion(msgspec.Struct, frozen=True):
    """A counted part of a difference, with its reason."""

    count: int
    why: str


class LedgerLine(msgspec.Struct, frozen=True):
    """One identity: what we saw, what an independent source says, and what lies between.

    `unexplained` is expected - seen - lost - excluded; `verdict` follows from it.
    """

    identity: str
    seen: int | None
    expected: int | None
    lost: int
    excluded: tuple[Exclusion, ...]
    unexplained: int
    verdict: Verdict
    note: str = ""


def balance(
    identity: str,
    seen: int,
    expected: int,
    *,
    lost: int = 0,
    excluded: tuple[Exclusion, ...] = (),
    cannot_verify: str = "",
    note: str = "",
) -> LedgerLine:
    """Return the line with its verdict.

    >>> balance("page faults", 8076, 8077, excluded=(Exclusion(1, "exec argument page"),)).verdict
    'COMPLETE WITH EXCLUSIONS'
    >>> balance("page faults", 8076, 8077).unexplained
    1
    """
    excluded = tuple(part for part in excluded if part.count)
    unexplained = expected - seen - lost - sum(part.count for part in excluded)
    verdict: Verdict
    if unexplained and cannot_verify:
        verdict = UNVERIFIABLE
    elif unexplained:
        verdict = INCONSISTENT
    elif lost:
        verdict = INCOMPLETE
    elif excluded:
        verdict = EXCLUSIONS
    else:
        verdict = COMPLETE
    text = cannot_verify if verdict == UNVERIFIABLE else note
    return LedgerLine(identity, seen, expected, lost, excluded, unexplained, verdict, text)


def unverifiable(identity: str, why: str) -> LedgerLine:
    """Return the line of an identity that this run has no witness for."""
    return LedgerLine(identity, None, None, 0, (), 0, UNVERIFIABLE, why)


def worst(lines: tuple[LedgerLine, ...]) -> Verdict:
    """Return the gravest verdict of the *lines* that have a witness; UNVERIFIABLE when none has."""
    verdicts = [line.verdict for line in lines if line.verdict != UNVERIFIABLE]
    return max(verdicts, key=_ORDER.index, default=UNVERIFIABLE)


def headline(lines: tuple[LedgerLine, ...]) -> str:
    """Return the verdict in words, with the number of lines that this run has no witness for.

    >>> headline((balance("a", 1, 1), unverifiable("b", "no witness")))
    'COMPLETE; 1 line UNVERIFIABLE'
    """
    verdict = worst(lines)
    without = sum(line.verdict == UNVERIFIABLE for line in lines)
    if verdict == UNVERIFIABLE or not without:
        return verdict
    return f"{verdict}; {without} {'line' if without == 1 else 'lines'} UNVERIFIABLE"
