"""The table, the stories and the JSON of `observer allocators`."""

from __future__ import annotations

from rich.console import Console

from observer.report.allocators import as_json, print_trials
from observer.story.recommendation import recommend
from tests.unit.report.screens import ascii_screen, screen
from tests.unit.trials import MIB, conduct, trial

FIXED = (
    "allocator", "version", "syscalls", "faults", "peak_resident_bytes", "end_resident_bytes", "mapped_bytes",
    "wasted_bytes", "seconds",
)  # fmt: skip
TRIALS = [
    trial(conduct=conduct(wasted=3 * MIB, live_peak=5 * MIB, held_at_peak=8 * MIB)),
    trial("tcmalloc", (0.2, 0.21, 0.2, 0.22, 0.2), 1013 * MIB, remarks=("it has no pvalloc",)),
    trial("mimalloc", status="SIGSEGV", verdict="INCONSISTENT"),
]


def shown(console: Console) -> None:
    print_trials(console, "./prog\x1b[31m arg", TRIALS, recommend(TRIALS), ["not measured: musl: no source"])


def test_the_agreed_fields_come_first_and_are_numbers() -> None:
    first = as_json(TRIALS, recommend(TRIALS))[0]
    assert tuple(first)[: len(FIXED)] == FIXED
    assert [first[name] for name in FIXED[3:]] == [331, 10 * MIB, 10 * MIB - 4096, 30 * MIB, 3 * MIB, 0.41]
    assert first["syscalls"] == {"brk": 7, "mmap": 11}


def test_each_entry_says_what_it_is_best_for_and_why() -> None:
    glibc, tcmalloc, mimalloc = as_json(TRIALS, recommend(TRIALS))
    assert (glibc["best_for"], tcmalloc["best_for"], mimalloc["best_for"]) == (["memory"], ["time"], [])
    assert tcmalloc["because"] == [
        "tcmalloc: 0.20 s against 0.41 s with glibc (spread 10 ms), at 101.3 times the memory"
    ]


def test_all_lines_fit_80_columns_and_nothing_steers_the_terminal() -> None:
    text = screen(shown)
    assert max(map(len, text.splitlines())) <= 80
    assert "\x1b" not in text
    assert r"./prog\x1b[31m arg" in text


def test_rows_and_remarks_are_there() -> None:
    lines = screen(shown).splitlines()
    assert "  glibc       0.41 s   10 ms        18      331    10 MiB  10.0 MiB     3 MiB" in lines
    assert "  tcmalloc    0.20 s   10 ms        18      331  1013 MiB  1013 MiB         -" in lines
    assert "    ! it has no pvalloc." in lines
    assert "    ! the ledger of this run is INCONSISTENT" in lines
    assert "  ! not measured: musl: no source" in lines
    assert "  Take tcmalloc where time counts; otherwise stay with glibc." in lines


def test_a_program_that_failed_is_said_to_have() -> None:
    failed = [trial(status="exit 3")]
    assert "The program ended with exit 3." in screen(
        lambda console: print_trials(console, "p", failed, recommend(failed))
    )
    assert "ended with" not in screen(lambda console: print_trials(console, "p", TRIALS[:1], recommend(TRIALS[:1])))


def test_a_single_run_has_no_spread() -> None:
    one = [trial(times=(0.4,))]
    row = screen(lambda console: print_trials(console, "p", one, recommend(one))).splitlines()[3]
    assert row.split()[:4] == ["glibc", "0.40", "s", "-"]


def test_plain_ascii_is_enough() -> None:
    quick = [trial(times=(0.0004,) * 5)]
    assert "400 us" in ascii_screen(lambda console: print_trials(console, "p", quick, recommend(quick)))
