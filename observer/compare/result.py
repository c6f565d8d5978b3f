"""What a comparison says: counts of agreement, and each difference with the rule that explains it."""

from __future__ import annotations

import msgspec

from observer.compare.differences import Differences
from observer.model.events import Event

__all__ = ["Agreement", "Calls", "Comparison", "End", "Faults", "Row"]


class Calls(msgspec.Struct):
    """Allocator calls: all, those served in the same way, and those that never returned."""

    total: int = 0
    agree: int = 0
    undetermined: int = 0


class Agreement(msgspec.Struct):
    """How many were observed, how many predicted, and how many of them are the same."""

    observed: int = 0
    predicted: int = 0
    agree: int = 0

    def add(self, observed: int, predicted: int, agree: int) -> None:
        """Count one more comparison."""
        self.observed += observed
        self.predicted += predicted
        self.agree += agree


class Faults(msgspec.Struct):
    """Page faults in memory that the allocator manages or the program mapped, by who took them.

    `elsewhere` were seen in memory that is not modelled: code, data of files, stacks, the loader's mappings.
    """

    allocator: Agreement = msgspec.field(default_factory=Agreement)
    program: Agreement = msgspec.field(default_factory=Agreement)
    elsewhere: int = 0


class Row(msgspec.Struct, frozen=True):
    """One place of the aligned list: an operation, its observed events, both sides in words, the rules between them.

    `access` is what the program did to memory, as a workload says it (`touch a 0 8192`), empty where only its fault
    tells; None for a row that is no access. `faults` are the page faults of an access as the process itself counted
    them, None where its events tell.
    """

    n: int
    what: str
    site: str
    events: tuple[Event, ...]
    told_observed: str
    told_predicted: str
    rules: tuple[str, ...]
    faults: int | None = None
    access: str | None = None


class End(msgspec.Struct, frozen=True):
    """A quantity as it stood at the end of the first process: bytes or pages."""

    what: str
    observed: int
    predicted: int


class Comparison(msgspec.Struct):
    """The whole result, as `observer compare --json` prints it.

    `ends` are break and resident pages at the end; `agree` is whether there is no difference at all; explained ones
    leave `unexplained` at 0.
    """

    allocator: str
    schema: int = 1
    agree: bool = True
    calls: Calls = msgspec.field(default_factory=Calls)
    syscalls: Agreement = msgspec.field(default_factory=Agreement)
    faults: Faults = msgspec.field(default_factory=Faults)
    differences: Differences = msgspec.field(default_factory=Differences)
    unexplained: int = 0
    ends: list[End] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)

    @property
    def predictor(self) -> str:
        """Who predicted, in a sentence: `the book`, `the model of glibc`."""
        return "the book" if self.allocator == "book" else f"the model of {self.allocator}"
