"""Consoles that write into strings."""

from __future__ import annotations

import io
from collections.abc import Callable

from rich.console import Console

from observer.report.screen import make_console

__all__ = ["ascii_screen", "screen"]


def screen(show: Callable[[Console], object], columns: int = 80) -> str:
    """What *show* prints on a console of *columns* without colour."""
    out = io.StringIO()
    console = make_console(out)
    console.width = columns
    show(console)
    return out.getvalue()


def ascii_screen(show: Callable[[Console], object]) -> str:
    """What *show* prints where the encoding is ASCII; anything else would be an error."""
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii", errors="strict", write_through=True)
    show(make_console(out))
    return raw.getvalue().decode("ascii")
