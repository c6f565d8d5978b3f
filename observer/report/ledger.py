"""The ledger as a table: what was seen beside what an independent source says, and nothing left unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.text import Text

from observer.model.ledger import COMPLETE, EXCLUSIONS, FAILING, LedgerLine, headline, worst
from observer.report.screen import heading, left, paragraph, put, right, safe
from observer.story.language import ENGLISH, Language
from observer.story.wording import number

__all__ = ["print_ledger"]

_WIDTHS: Final = (9, 9, 5, 5, 6)
_TITLES: Final = ("seen", "expected", "lost", "excluded", "unexplained")
_VERDICT: Final = 13
_SHORT: Final = {EXCLUSIONS: "COMPLETE*"}
_STYLES: Final = {COMPLETE: "green", EXCLUSIONS: "green"}
_ADDRESS: Final = 1 << 40


def print_ledger(console: Console, lines: Sequence[LedgerLine], language: Language = ENGLISH) -> None:
    """Print every identity with both sides and the verdict, the notes beneath; 80 columns are enough."""
    verdict = worst(tuple(lines))
    heading(console, language.say("the_ledger"), language.say("the_ledger_hint"))
    if not lines:
        put(console, f"  {language.say('ledger_empty')}")
        return
    wide = _identity_width(console)
    _columns(console, wide, language)
    for line in lines:
        _line(console, line, wide)
    _notes(console, lines, language)
    put(console, Text.assemble(f"  {language.say('ledger_verdict')}", (headline(tuple(lines)), _style(verdict))))


def _columns(console: Console, wide: int, language: Language) -> None:
    identity, verdict, *titles = (
        language.choose("ledger_columns", name) for name in ("identity", "verdict", *_TITLES)
    )  # fmt: skip
    put(console, Text(f"  {left(identity, wide)}{_numbers(titles)}  {verdict}", "dim"))


def _identity_width(console: Console) -> int:
    return max(console.width - 2 - sum(_WIDTHS) - len(_WIDTHS) - 2 - _VERDICT, 16)


def _numbers(texts: Sequence[str]) -> str:
    return "".join(f" {right(text, width)}" for text, width in zip(texts, _WIDTHS, strict=True))


def _style(verdict: str) -> str:
    return "bold red" if verdict in FAILING else _STYLES.get(verdict, "yellow")


def _line(console: Console, line: LedgerLine, wide: int) -> None:
    known = line.seen is not None
    excluded = sum(part.count for part in line.excluded)
    texts = (_number(line.seen), _number(line.expected), _count(line.lost), _count(excluded), _count(line.unexplained))
    columns = _numbers(texts if known else ("-",) * len(_WIDTHS))
    verdict = Text(f"  {_SHORT.get(line.verdict, line.verdict)}", _style(line.verdict))
    names = Text(safe(line.identity)).wrap(console, wide)
    put(console, Text.assemble("  ", _padded(names[0], wide), columns, verdict))
    for name in names[1:]:
        name.rstrip()
        put(console, Text.assemble("  ", name))


def _padded(name: Text, wide: int) -> Text:
    name.rstrip()
    name.pad_right(max(wide - name.cell_len, 0))
    return name


def _number(value: int | None) -> str:
    """Write a count; an address would not fit, so its last digits stand for it."""
    if value is None:
        return "-"
    if abs(value) >= _ADDRESS:
        return f"..{value & 0xFFFFFFF:07x}"
    text = number(value)
    return text if len(text) <= _WIDTHS[0] else str(value) if value < 10 ** _WIDTHS[0] else f"{value:.2e}"


def _count(value: int) -> str:
    text = str(value)
    return text if len(text) <= _WIDTHS[2] + 1 else f"{value:.0e}"


def _notes(console: Console, lines: Sequence[LedgerLine], language: Language) -> None:
    if any(line.verdict == EXCLUSIONS for line in lines):
        put(console, Text(f"  {language.say('ledger_exclusions', EXCLUSIONS)}", "dim"))
    for line in lines:
        for part in line.excluded:
            text = language.say("ledger_excluded", line.identity, number(part.count), part.why)
            paragraph(console, safe(text), first="    ", hanging=6)
        if line.note:
            paragraph(console, safe(f"{line.identity}: {line.note}"), first="    ", hanging=6)
