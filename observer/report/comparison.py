"""A comparison on a terminal: the aligned list, what agrees, the departures with their evidence and experiments."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from observer.compare.confirm import Experiment
from observer.compare.explanation import UNEXPLAINED
from observer.compare.result import Agreement, Comparison, Difference, Row
from observer.compare.rows import Entry, fold
from observer.model.departures import COMPARED
from observer.report.screen import heading, paragraph, put, safe
from observer.story.wording import number, plural

__all__ = ["tell_comparison"]

_ROWS: Final = 40
_EXAMPLES: Final = 3


def tell_comparison(
    console: Console, comparison: Comparison, rows: Iterable[Row], experiments: Sequence[Experiment], *,
    everything: bool = False,
) -> None:  # fmt: skip
    """Tell a whole comparison; the list has about 40 entries unless *everything*."""
    _print_list(console, list(fold(rows)), comparison.predictor, everything=everything)
    _print_agreement(console, comparison)
    _print_departures(console, comparison, experiments)
    _print_unexplained(console, comparison)
    for note in comparison.notes:
        paragraph(console, safe(note), first="  note: ", hanging=8)


def _print_list(console: Console, entries: list[Entry], predictor: str, *, everything: bool) -> None:
    heading(console, "Side by side", "neighbours that tell the same are one row")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=False, show_edge=False)
    table.add_column("", width=1)
    table.add_column("n", justify="right", width=6, style="dim")
    for title, width in (("operation", 21), ("observed", 23), (predictor, 23)):
        table.add_column(title, width=width, overflow="fold")
    shown = entries if everything else list(islice(entries, _ROWS))
    for entry in shown:
        table.add_row(*_cells(entry))
    console.print(Padding(table, (0, 0, 0, 1)))
    if len(shown) < len(entries):
        put(console, f"  ... {plural(len(entries) - len(shown), 'row')} more; --all shows them", style="dim")


def _cells(entry: Entry) -> tuple[Text, ...]:
    row = entry.row
    times = f"{entry.count:,} x " if entry.count > 1 else ""
    what = Text(safe(f"{times}{row.what}"))
    if row.site:
        what.append(f"\n{safe(row.site)}", "dim")
    observed = Text(safe(row.told_observed))
    predicted = Text(safe(row.told_predicted))
    if row.rules:
        predicted.append(
            "\n" + ", ".join(dict.fromkeys(row.rules)), "bold red" if UNEXPLAINED in row.rules else "yellow"
        )
    return Text("!" if row.rules else "="), Text(f"{row.n:,}" if row.n >= 0 else ""), what, observed, predicted


def _print_agreement(console: Console, comparison: Comparison) -> None:
    allocator = "the book's allocator" if comparison.allocator == "book" else comparison.predictor
    heading(console, "What agrees", f"with {allocator} and the model of paging")
    calls = comparison.calls
    aside = f", {number(calls.undetermined)} undetermined" if calls.undetermined else ""
    _fact(console, "calls served alike", f"{number(calls.agree)} of {number(calls.total)}{aside}")
    for name, pair in (
        ("system calls", comparison.syscalls), ("allocator's faults", comparison.faults.allocator),
        ("program's faults", comparison.faults.program),
    ):  # fmt: skip
        _fact(console, name, _agreement(pair))
    if comparison.faults.elsewhere:
        _fact(
            console,
            "",
            f"{number(comparison.faults.elsewhere)} more in memory that is not modelled (code, stacks, files)",
        )
    for end in comparison.ends:
        _fact(console, end.what, f"{number(end.observed)} observed, {number(end.predicted)} predicted")


def _agreement(pair: Agreement) -> str:
    return f"{number(pair.observed)} observed, {number(pair.predicted)} predicted, {number(pair.agree)} the same"


def _fact(console: Console, name: str, text: str) -> None:
    paragraph(console, text, first=Text(f"  {name:<24}", "dim"), hanging=26)


def _print_departures(console: Console, comparison: Comparison, experiments: Sequence[Experiment]) -> None:
    by_rule: dict[str, list[Difference]] = {}
    for difference in comparison.differences:
        if difference.rule is not None:
            by_rule.setdefault(difference.rule, []).append(difference)
    if not by_rule:
        return
    heading(console, "Named departures", f"what {comparison.predictor} leaves out, with the evidence")
    outcomes = {experiment.rule: experiment for experiment in experiments}
    for rule in (rule for rule in COMPARED if rule in by_rule):
        _print_departure(console, rule, by_rule[rule], outcomes.get(rule), comparison.predictor)


def _print_departure(
    console: Console, rule: str, found: list[Difference], outcome: Experiment | None, predictor: str
) -> None:
    departure = COMPARED[rule]
    aside = f"  {rule}, {plural(len(found), 'difference')}"
    put(console, Text.assemble((f"  {departure.title}", "bold"), (aside, "dim")))
    paragraph(console, departure.why, first="    ", hanging=4)
    for difference in found[:_EXAMPLES]:
        told = f"{difference.observed}; {predictor}: {difference.predicted} ({difference.why})"
        paragraph(console, safe(told), first=Text(f"    {_place(difference):>7}  ", "dim"), hanging=13)
    if outcome is not None:
        verdict = (
            f"confirmed: with {outcome.switch} none of the {number(outcome.before)} is left" if outcome.confirmed
            else f"not confirmed: with {outcome.switch} there are still {number(outcome.after)}"
        )  # fmt: skip
        paragraph(console, Text(verdict, "green" if outcome.confirmed else "red"), first="    ", hanging=4)
    elif departure.has_switch:
        paragraph(console, Text(f"to switch it off: {departure.switch}", "dim"), first="    ", hanging=4)


def _place(difference: Difference) -> str:
    return f"{difference.n:,}" if difference.n >= 0 else "end"


def _print_unexplained(console: Console, comparison: Comparison) -> None:
    put(console)
    if not comparison.unexplained:
        put(console, Text("  unexplained: 0", "bold green"))
        return
    put(console, Text(f"  unexplained: {number(comparison.unexplained)}", "bold red"))
    for difference in [each for each in comparison.differences if each.rule is None][:_EXAMPLES]:
        told = f"{difference.what}: observed {difference.observed}, predicted {difference.predicted}"
        paragraph(console, safe(told), first=f"    {_place(difference):>7}  ", hanging=13)
