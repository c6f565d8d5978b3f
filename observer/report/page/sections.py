"""The parts of a page that are of the whole run: totals, places, leaks, departures, ledger, machine, comparison."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, Final

from observer.compare.result import Agreement, Comparison
from observer.compare.rows import Aligned
from observer.model.departures import COMPARED
from observer.model.filenames import safe
from observer.model.machine import Meta
from observer.report.page.columns import cut
from observer.report.page.gathered import Gathered
from observer.story.language import Language
from observer.story.wording import number, size

__all__ = ["MOST_ENTRIES", "compared_section", "departures_section", "leaks_section", "machine_section",
"sites_section",
           "totals_section"]  # fmt: skip

MOST_ENTRIES: Final = 400
_MOST_ROWS: Final = 40

Texts = Mapping[str, Any]
_Pairs = list[tuple[str, str]]


def totals_section(gathered: Gathered, t: Texts, language: Language) -> _Pairs:
    """Return the totals with their names."""
    totals = gathered.tally.result()
    write = language.size
    calls = ", ".join(f"{number(count)} {safe(op)}" for op, count in totals.calls.items())
    return [
        (t["calls"], calls or "0"), (t["served_free"], number(totals.served)), (t["grown"], number(totals.grown)),
        (t["asked_total"], write(totals.asked)), (t["peak"], write(totals.peak)),
        (t["from_kernel"], write(totals.from_kernel)), (t["frames_total"], number(totals.frames)),
        (t["syscalls"], f"{number(sum(totals.syscalls_inside.values()))}, "
                        f"{number(sum(totals.syscalls_outside.values()))}"),
        (t["faults"], number(totals.faults)),
    ]  # fmt: skip


def sites_section(gathered: Gathered) -> list[dict[str, Any]]:
    """Return the places that asked for most."""
    return [
        {"place": cut(place.text, 120), "bytes": place.asked, "calls": place.calls, "frames": place.frames,
         "first": place.first}
        for place in gathered.tally.places.top()[:_MOST_ROWS]
    ]  # fmt: skip


def leaks_section(gathered: Gathered) -> list[dict[str, Any]]:
    """Return by process what nobody gave back."""
    found = []
    for pid in gathered.spans.of:
        leaks = gathered.tally.places.left_in(pid)[:_MOST_ROWS]
        rows = [
            {"place": cut(leak.place.text, 120), "bytes": leak.bytes, "pieces": leak.pieces, "first": leak.first}
            for leak in leaks
        ]
        found.append({"process": f"{cut(gathered.paths.get(pid, '').rpartition('/')[2], 80)} {pid}", "leaks": rows})
    return found


def departures_section(gathered: Gathered, language: Language) -> list[dict[str, Any]]:
    """Return the departures from the book, each with its first event."""
    found = []
    for departure in gathered.departures.result():
        headline, reason = language.departure(departure)
        found.append({"headline": headline, "reason": reason, "count": departure.count, "first": departure.evidence[0]})
    return found


def machine_section(meta: Meta, t: Texts) -> _Pairs:
    """Return the facts of the machine, and how the run was seen."""
    machine = meta.machine
    how = "; ".join(f"{what} {words}" for what, words in meta.how.items() if "." not in what)
    rows = [
        (t["command"], shlex.join(meta.request.command)), (t["kernel"], f"{machine.kernel} {machine.architecture}"),
        (t["libc"], f"{machine.libc} {machine.libc_version}".strip()), (t["page_size"], size(machine.page_size)),
        (t["huge_pages"], machine.thp), ("ASLR", machine.aslr), ("overcommit", machine.overcommit),
        (t["memory"], size(machine.memory_bytes)), (t["how"], how), (t["notes"], "; ".join(meta.notes)),
    ]  # fmt: skip
    return [(name, cut(value, 2000)) for name, value in rows if value]


def compared_section(comparison: Comparison, aligned: Aligned, t: Texts) -> dict[str, Any]:
    """Return a comparison: how much agrees, its rows for the script, the rules that explain the differences."""
    entries = [
        {
            "n": entry.row.n, "count": entry.count, "what": cut(entry.row.what),
            "observed": cut(entry.row.told_observed), "predicted": cut(entry.row.told_predicted),
            "rules": [cut(COMPARED[rule].title if rule in COMPARED else rule) for rule in entry.row.rules],
        }
        for entry in aligned.entries
    ]  # fmt: skip
    reasons = [
        {"title": COMPARED[rule].title, "why": COMPARED[rule].why, "count": count}
        for rule, count in comparison.differences.by_rule.most_common() if rule in COMPARED
    ]  # fmt: skip
    return {
        "predictor": t["predictor_glibc" if comparison.allocator == "glibc" else "predictor_book"],
        "agreement": _agreement(comparison, t), "entries": entries, "left_out": aligned.left_out, "reasons": reasons,
    }  # fmt: skip


def _agreement(comparison: Comparison, t: Texts) -> _Pairs:
    def share(agreement: Agreement) -> str:
        return _of(t, agreement.agree, max(agreement.observed, agreement.predicted))

    faults = comparison.faults
    return [
        (t["agree_calls"], _of(t, comparison.calls.agree, comparison.calls.total)),
        (t["agree_syscalls"], share(comparison.syscalls)),
        (t["agree_faults"], f"{share(faults.allocator)}; {share(faults.program)}"),
        (t["unexplained"], number(comparison.unexplained)),
    ]  # fmt: skip


def _of(t: Texts, part: int, whole: int) -> str:
    text: str = t["of"]
    return text.format(number(part), number(whole))
