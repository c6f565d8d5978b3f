"""What explains a difference between a run and a prediction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["UNEXPLAINED", "Explanation"]

UNEXPLAINED: Final = "unexplained"
"""What stands for a rule where none explains a difference."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """The departure that explains one difference (`model.departures.COMPARED`), and the evidence in words.

    It is named only with evidence from the run itself (`call_rules.py`, `fault_rules.py`); what none of them explains
    is called unexplained.
    """

    rule: str
    evidence: str
