"""A comparison on a terminal: the aligned list, what agrees, the departures with their evidence and experiments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import IO, Final

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from observer.compare.confirm import Experiment
from observer.compare.differences import Difference
from observer.compare.explanation import UNEXPLAINED
from observer.compare.result import Agreement, Comparison
from observer.compare.rows import Aligned, Entry
from observer.model.departures import COMPARED, Departure
from observer.report.screen import heading, paragraph, put, safe
from observer.story.wording import number, plural

__all__ = ["ROWS", "tell_comparison", "write_comparison"]

ROWS: Final = 40
"""Entries of the aligned list that are told unless all are wanted."""
_EXAMPLES: Final = 3


def tell_comparison(
    console: Console, comparison: Comparison, aligned: Aligned, experiments: Sequence[Experiment]
) -> None:  # fmt: skip
    """Tell a whole comparison with its *aligned* list."""
    _print_list(console, aligned, comparison.predictor)
    _print_agreement(console, comparison)
    examples = _examples(comparison)
    _print_departures(console, comparison, experiments, examples)
    _print_unexplained(console, comparison, examples[None])
    for note in comparison.notes:
        paragraph(console, safe(note), first="  note: ", hanging=8)


def write_comparison(comparison: Comparison, out: IO[bytes]) -> None:
    """Write a comparison as indented JSON, its differences one by one: there may be millions."""
    text = msgspec.json.format(msgspec.json.encode(comparison, enc_hook=lambda _differences: []))
    before, name, after = text.partition(b'\n  "differences": ')
    out.write(before + name)
    for i, difference in enumerate(comparison.differences):
        item = msgspec.json.format(msgspec.json.encode(difference)).replace(b"\n", b"\n    ")
        out.write((b",\n    " if i else b"[\n    ") + item)
    out.write(b"\n  ]" + after.removeprefix(b"[]") if comparison.differences else after)
    out.write(b"\n")


def _print_list(console: Console, aligned: Aligned, predictor: str) -> None:
    heading(console, "Side by side", "neighbours that tell the same are one row")
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=False, show_edge=False)
    table.add_column("", width=1)
    table.add_column("n", justify="right", width=6, style="dim")
    for title, width in (("operation", 21), ("observed", 23), (predictor, 23)):
        table.add_column(title, width=width, overflow="fold")
    for entry in aligned.entries:
        table.add_row(*_cells(entry))
    console.print(Padding(table, (0, 0, 0, 1)))
    if aligned.left_out:
        put(console, f"  ... {plural(aligned.left_out, 'row')} more; --all shows them", style="dim")


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


def _examples(comparison: Comparison) -> defaultdict[str | None, list[Difference]]:
    """Return the first differences of each rule, and of None, which are unexplained."""
    examples: defaultdict[str | None, list[Difference]] = defaultdict(list)
    for difference in comparison.differences:
        if len(examples[difference.rule]) < _EXAMPLES:
            examples[difference.rule].append(difference)
    return examples


def _print_departures(
    console: Console, comparison: Comparison, experiments: Sequence[Experiment],
    examples: Mapping[str | None, list[Difference]],
) -> None:  # fmt: skip
    by_rule = comparison.differences.by_rule
    found = [rule for rule in COMPARED if rule in by_rule]
    if not found:
        return
    heading(console, "Named departures", f"what {comparison.predictor} leaves out, with the evidence")
    outcomes = {experiment.rule: experiment for experiment in experiments}
    for rule in found:
        aside = f"  {rule}, {plural(by_rule[rule], 'difference')}"
        put(console, Text.assemble((f"  {COMPARED[rule].title}", "bold"), (aside, "dim")))
        _print_departure(console, COMPARED[rule], examples[rule], outcomes.get(rule), comparison.predictor)


def _print_departure(
    console: Console, departure: Departure, examples: Sequence[Difference], outcome: Experiment | None, predictor: str
) -> None:  # fmt: skip
    paragraph(console, departure.why, first="    ", hanging=4)
    for difference in examples:
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


def _print_unexplained(console: Console, comparison: Comparison, examples: Sequence[Difference]) -> None:
    put(console)
    if not comparison.unexplained:
        put(console, Text("  unexplained: 0", "bold green"))
        return
    put(console, Text(f"  unexplained: {number(comparison.unexplained)}", "bold red"))
    for difference in examples:
        told = f"{difference.what}: observed {difference.observed}, predicted {difference.predicted}"
        paragraph(console, safe(told), first=f"    {_place(difference):>7}  ", hanging=13)
