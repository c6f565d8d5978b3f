"""What a machine allows, as a list: a mark, the capability, how or why not, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.text import Text

from observer.report.screen import heading, paragraph, put, safe

__all__ = ["print_capabilities"]

_WIDE: Final = 44
_BESIDE: Final = 28
"""Words in the second column, which begins at _WIDE, need as many cells; where there are fewer they stand below."""


class _Capability(Protocol):
    @property
    def capability(self) -> str: ...
    @property
    def works(self) -> bool: ...
    @property
    def how(self) -> str: ...
    @property
    def why_not(self) -> str: ...
    @property
    def remedy(self) -> str: ...
    @property
    def essential(self) -> bool: ...


def print_capabilities(console: Console, found: Sequence[_Capability]) -> None:
    """Print each capability, and beneath what is missing the command that would allow it."""
    heading(console, "What this machine allows")
    hanging = _WIDE if console.width >= _WIDE + _BESIDE else 8
    for item in found:
        mark, style = ("yes", "green") if item.works else ("NO", "bold red" if item.essential else "yellow")
        first = Text.assemble("  ", (f"{mark:<4}", style), safe(item.capability))
        why = safe(item.how if item.works else item.why_not)
        if first.cell_len >= hanging - 1:
            put(console, first)
            first = Text()
        first.pad_right(hanging - first.cell_len)
        paragraph(console, why, first=first, hanging=hanging)
        if not item.works and item.remedy:
            paragraph(console, safe(item.remedy), first=Text.assemble(" " * 6, ("try: ", "dim")), hanging=11)
    put(console)
    essential = [item for item in found if item.essential and not item.works]
    missing = [item for item in found if not item.works]
    put(console, _closing(len(essential), len(missing)))


def _closing(essential: int, missing: int) -> str:
    if essential:
        return "The main job cannot be done here yet."
    if missing:
        return f"The main job works; {missing} of the other things {'is' if missing == 1 else 'are'} missing."
    return "Everything works."
