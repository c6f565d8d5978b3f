"""Which differences an experiment can confirm, and what its outcome means."""

from __future__ import annotations

import msgspec

from observer.compare.result import Comparison
from observer.model.departures import COMPARED, Departure

__all__ = ["Experiment", "judge", "switchable"]


class Experiment(msgspec.Struct, frozen=True):
    """A run with one mechanism switched off: how many differences it had explained before, and how many after."""

    rule: str
    switch: str
    before: int
    after: int

    @property
    def confirmed(self) -> bool:
        """Whether the differences vanished with their mechanism."""
        return self.after == 0


def switchable(comparison: Comparison) -> list[Departure]:
    """Return the departures found that can be switched off, in the order of the table."""
    found = comparison.differences.by_rule
    return [departure for departure in COMPARED.values() if departure.id in found and departure.has_switch]


def judge(comparison: Comparison, departure: Departure, without: Comparison) -> Experiment:
    """Compare a run with the one made *without* the mechanism; the verdict is noted in *comparison*'s differences."""
    experiment = Experiment(
        departure.id, departure.switch, comparison.differences.by_rule[departure.id],
        without.differences.by_rule[departure.id],
    )  # fmt: skip
    comparison.differences.confirm(departure.id, confirmed=experiment.confirmed)
    return experiment
