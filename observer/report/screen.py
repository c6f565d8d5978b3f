"""The way to the terminal: one place that makes consoles, escapes hostile text, and stays readable in plain ASCII.

Text of the traced program (file names, function names, paths) may hold anything. It reaches the terminal through
`safe` and as rich `Text`, never as markup.
"""

from __future__ import annotations

import errno
import os
from string import Formatter
from typing import IO, Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from observer.model.filenames import safe

__all__ = ["bar", "filled", "heading", "left", "make_console", "paragraph", "put", "right", "safe"]

_PLAIN: Final = {ord(fancy): plain for fancy, plain in zip("→×µ█░│├┤─·…▁▂▃▄▅▆▇", ">xu#.|++-.._.:-=+*", strict=True)}
_FALLBACK_COLUMNS: Final = 80


class _Console(Console):
    """A console that leaves a broken pipe to the command line, which knows the status for it."""

    def on_broken_pipe(self) -> None:
        """Raise what rich has just caught."""
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))


def make_console(stream: IO[str], *, shown_on: IO[str] | None = None) -> Console:
    """Return a console on *stream*; 80 columns where it is no terminal. NO_COLOR and COLUMNS are rich's to honour.

    *shown_on* is the terminal on which somebody else shows what comes by *stream*.
    """
    terminal = shown_on if shown_on is not None else stream
    is_terminal = terminal.isatty()
    width = None if stream.isatty() else Console(file=terminal).width if is_terminal else _FALLBACK_COLUMNS
    return _Console(
        file=stream, width=width, force_terminal=is_terminal if stream is not terminal else None, highlight=False,
        markup=False, emoji=False, soft_wrap=False,
    )  # fmt: skip


def put(console: Console, text: Text | str = "", style: str = "") -> None:
    """Print one line of text, wrapped by nobody; a console that cannot show Unicode gets ASCII.

    What could steer the terminal is escaped here, too, whoever forgot it.
    """
    line = text if isinstance(text, Text) else Text(text, style=style)
    harmless = safe(line.plain)
    if harmless != line.plain:
        line = line.copy()
        line.plain = harmless
    if console.options.ascii_only:
        line = line.copy()
        line.plain = line.plain.translate(_PLAIN).encode("ascii", "replace").decode("ascii")
    console.print(line, soft_wrap=True)


def heading(console: Console, title: str, aside: str = "") -> None:
    """Print a section's title, with a word beside it, or below where there is no room."""
    put(console)
    if not aside or cell_len(title) + 2 + cell_len(aside) <= console.width:
        put(console, Text.assemble((title, "bold"), "  " if aside else "", (aside, "dim")))
        return
    put(console, Text(title, "bold"))
    paragraph(console, Text(safe(aside), "dim"), first="  ", hanging=2)


def paragraph(console: Console, text: Text | str, *, first: Text | str = "", hanging: int = 0) -> None:
    """Print *text* wrapped beside its *first* words, further lines indented by *hanging*."""
    left = first if isinstance(first, Text) else Text(first)
    body = text if isinstance(text, Text) else Text(text)
    if left.cell_len + body.cell_len <= console.width:
        put(console, left + body)
        return
    width = max(console.width - max(left.cell_len, hanging), 16)
    for i, part in enumerate(body.wrap(console, width)):
        part.rstrip()
        put(console, (left if i == 0 else Text(" " * hanging)) + part)


def left(text: str, cells: int) -> str:
    """Return *text* with spaces behind it, *cells* of the terminal wide; Korean letters take two."""
    return text + " " * (cells - cell_len(text))


def right(text: str, cells: int) -> str:
    """Return *text* with spaces before it, *cells* of the terminal wide.

    >>> right("조각", 6), left("조각", 6), right("pieces", 4)
    ('  조각', '조각  ', 'pieces')
    """
    return " " * (cells - cell_len(text)) + text


def filled(template: str, *parts: str | tuple[str, str]) -> Text:
    """Return *template* with *parts* in its holes `{0}`, `{1}` …: texts, or texts with their styles."""
    text = Text()
    for words, hole, _format, _conversion in Formatter().parse(template):
        text.append(words)
        if hole is not None:
            text.append_text(Text.assemble(parts[int(hole)]))
    return text


def bar(part: int, whole: int, cells: int) -> str:
    """Draw a share: full cells, then empty ones. Only nothing is drawn empty, and only the whole is drawn full.

    >>> bar(1, 1000, 4), bar(999, 1000, 4), bar(0, 0, 4)
    ('█░░░', '███░', '░░░░')
    """
    if part <= 0 or whole <= 0:
        full = 0
    elif part >= whole:
        full = cells
    else:
        full = min(max(round(cells * part / whole), 1), cells - 1)
    return "█" * full + "░" * (cells - full)
