"""What a machine allows, as a list: a mark, the capability, how or why not, and what to type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from rich.console import Console
from rich.text import Text

from observer.report.screen import heading, paragraph, put, safe

__all__ = ["print_capabilities"]

_WIDE: Final = 44


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
    for item in found:
        mark, style = ("yes", "green") if item.works else ("NO", "bold red" if item.essential else "yellow")
        first = Text.assemble("  ", (f"{mark:<4}", style), safe(item.capability))
        first.pad_right(max(_WIDE - first.cell_len, 1))
        paragraph(console, safe(item.how if item.works else item.why_not), first=first, hanging=_WIDE)
        if not item.works and item.remedy:
            put(console, Text.assemble(" " * 6, ("try: ", "dim"), safe(item.remedy)))
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
