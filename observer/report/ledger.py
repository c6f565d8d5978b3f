"""The ledger as a table: what was seen beside what an independent source says, and nothing left unsaid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from observer.model.ledger import COMPLETE, EXCLUSIONS, FAILING, LedgerLine, headline, worst
from observer.report.screen import heading, left, paragraph, put, right, safe
from observer.story.language import ENGLISH, Language
from observer.story.wording import number

__all__ = ["print_ledger", "print_shortfall"]

_WIDTHS: Final = (9, 9, 5, 5, 6)
_TITLES: Final = ("seen", "expected", "lost", "excluded", "unexplained")
_VERDICT: Final = 13
_IDENTITY: Final = 16
_WIDE: Final = 2 + _IDENTITY + sum(_WIDTHS) + len(_WIDTHS) + 2 + _VERDICT
"""Narrower terminals have columns as narrow as their numbers, and none in which all of them are 0."""
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
    table = _Table.of(console, lines, language)
    put(console, Text(f"  {left(table.title, table.identity)}{table.numbers(table.titles)}  {table.verdict}", "dim"))
    for line in lines:
        _line(console, line, table)
    _notes(console, lines, language)
    told = Text(headline(tuple(lines)), _style(verdict))
    paragraph(console, told, first=f"  {language.say('ledger_verdict')}", hanging=4)


def print_shortfall(console: Console, lines: Sequence[LedgerLine], language: Language = ENGLISH) -> None:
    """Print, beneath what leaves the ledger out, that it does not balance, if so: of a lost free no sum can tell."""
    verdict = worst(tuple(lines))
    if verdict in FAILING:
        put(console)
        told = Text.assemble((headline(tuple(lines)), _style(verdict)), f": {language.say('not_accounted')} (--ledger)")
        paragraph(console, told, first=f"  {language.say('ledger_verdict')}", hanging=4)


@dataclass(frozen=True, slots=True)
class _Table:
    """The titles of the columns, and how many cells each has; those of 0 cells are left out."""

    title: str
    titles: tuple[str, ...]
    verdict: str
    identity: int
    widths: tuple[int, ...]

    @classmethod
    def of(cls, console: Console, lines: Sequence[LedgerLine], language: Language) -> _Table:
        """Return the table in which *lines* have room on *console*."""
        title, verdict, *titles = (
            language.choose("ledger_columns", name) for name in ("identity", "verdict", *_TITLES)
        )
        widths, words = list(_WIDTHS), _VERDICT
        if console.width < _WIDE:
            for i, column in enumerate(zip(*map(_texts, lines), strict=True)):
                is_needed = i < 2 or any(text not in ("0", "-") for text in column)
                widths[i] = max(map(cell_len, (titles[i], *column))) if is_needed else 0
            words = max(map(cell_len, (verdict, *(_SHORT.get(line.verdict, line.verdict) for line in lines))))
        taken = sum(wide + 1 for wide in widths if wide)
        return cls(title, tuple(titles), verdict, max(console.width - 4 - taken - words, 12), tuple(widths))

    def numbers(self, texts: Sequence[str]) -> str:
        """Return *texts* in the columns of numbers."""
        return "".join(f" {right(text, wide)}" for text, wide in zip(texts, self.widths, strict=True) if wide)


def _style(verdict: str) -> str:
    return "bold red" if verdict in FAILING else _STYLES.get(verdict, "yellow")


def _texts(line: LedgerLine) -> tuple[str, ...]:
    if line.seen is None:
        return ("-",) * len(_WIDTHS)
    excluded = sum(part.count for part in line.excluded)
    return (_number(line.seen), _number(line.expected), _count(line.lost), _count(excluded), _count(line.unexplained))


def _line(console: Console, line: LedgerLine, table: _Table) -> None:
    verdict = Text(f"  {_SHORT.get(line.verdict, line.verdict)}", _style(line.verdict))
    names = Text(safe(line.identity)).wrap(console, table.identity)
    put(console, Text.assemble("  ", _padded(names[0], table.identity), table.numbers(_texts(line)), verdict))
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
    grouped, text = number(value), str(value)
    if len(grouped) <= _WIDTHS[2]:
        return grouped
    return text if len(text) <= _WIDTHS[2] + 1 else f"{value:.0e}"


def _notes(console: Console, lines: Sequence[LedgerLine], language: Language) -> None:
    if any(line.verdict == EXCLUSIONS for line in lines):
        paragraph(console, Text(language.say("ledger_exclusions", EXCLUSIONS), "dim"), first="  ", hanging=2)
    for line in lines:
        for part in line.excluded:
            text = language.say("ledger_excluded", line.identity, number(part.count), part.why)
            paragraph(console, safe(text), first="    ", hanging=6)
        if line.note:
            paragraph(console, safe(f"{line.identity}: {line.note}"), first="    ", hanging=6)
