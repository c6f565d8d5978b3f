"""One program under several allocators: who is recorded, who is left out, and the turns of the light runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from observer.instruments.session import Wish
from observer.model.footprint import LightRun
from observer.model.machine import Meta, Outcome
from observer.runs import trials
from observer.runs.trials import tried
from observer.runs.variants import Variant
from observer.tracee.allocators import Library, Missing
from tests.builders import meta
from tests.unit.trials import conduct, light

GLIBC = Library("glibc", "/lib/libc.so.6", "2.36", "the banner")
VARIANTS = [
    Variant("glibc", ("./prog", "as it is"), {}),
    *(
        Variant(name, ("./prog", name), {}, Library(name, f"/lib/{name}.so", "1", ""), is_preloaded=True)
        for name in ("jemalloc", "mimalloc", "tcmalloc")
    ),
]


class Bench:
    """Stands where programs would be run: how each ends, and what was done in which order."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.folders: list[Path] = []
        self.shown: list[bool] = []
        self.light: list[str] = []
        self.said: list[str] = []
        self.ends: dict[str, str] = {}
        self.without_effect: dict[str, str] = {}

    def record(self, wish: Wish, directory: Path) -> Meta:
        self.wishes.append(wish)
        self.folders.append(directory)
        return meta(outcome=Outcome(0, None, "exit", 331))

    def run_lightly(self, words: Sequence[str], environment: Mapping[str, str]) -> LightRun:
        self.light.append(words[1])
        return light(status=self.ends.get(words[1], "exit 0"))

    @contextmanager
    def aside(self, errors: Path, *, shown: bool) -> Iterator[None]:
        self.shown.append(shown)
        yield

    @contextmanager
    def working(self, line: str) -> Iterator[None]:
        self.said.append(line)
        yield


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    monkeypatch.setattr(trials, "record_uninterrupted", made.record)
    monkeypatch.setattr(trials, "run_lightly", made.run_lightly)
    monkeypatch.setattr(trials, "Streams", lambda scratch: made)
    monkeypatch.setattr(trials, "_conduct_of", lambda directory: conduct())
    monkeypatch.setattr(trials, "own_allocator", lambda run: GLIBC)
    monkeypatch.setattr(trials, "remarks_on", lambda *told: ())
    monkeypatch.setattr(
        trials, "why_without_effect", lambda variant, run, errors: made.without_effect.get(variant.allocator, "")
    )
    return made


def test_each_is_recorded_once_with_small_pages_and_only_the_first_is_seen(bench: Bench) -> None:
    found, missing = tried(VARIANTS, 1, Path("traces"), Path("scratch"), bench.working)
    assert [trial.allocator for trial in found] == ["glibc", "jemalloc", "mimalloc", "tcmalloc"]
    assert missing == []
    assert bench.folders == [Path("traces") / variant.allocator for variant in VARIANTS]
    assert [(wish.argv, wish.huge_pages) for wish in bench.wishes] == [(each.words, False) for each in VARIANTS]
    assert bench.shown == [True, False, False, False] + [False] * 4
    assert bench.said[:3] == ["accounting for glibc", "recording under jemalloc", "accounting for jemalloc"]
    assert bench.said[-1] == "timing, round 1 of 1"


def test_each_round_begins_with_another_allocator(bench: Bench) -> None:
    found, _missing = tried(VARIANTS[:3], 4, Path("traces"), Path("scratch"))
    first = [bench.light[at] for at in range(0, 12, 3)]
    assert first == ["as it is", "jemalloc", "mimalloc", "as it is"]
    assert [len(trial.runs) for trial in found] == [4, 4, 4]


def test_what_has_no_effect_is_neither_timed_nor_told(bench: Bench) -> None:
    bench.without_effect = {"mimalloc": "its library was not loaded"}
    found, missing = tried(VARIANTS, 1, Path("traces"), Path("scratch"))
    assert [trial.allocator for trial in found] == ["glibc", "jemalloc", "tcmalloc"]
    assert missing == [Missing("mimalloc", "its library was not loaded")]
    assert "mimalloc" not in bench.light


def test_what_the_program_has_already_is_not_measured_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "own_allocator", lambda run: VARIANTS[1].identity)
    found, missing = tried(VARIANTS[:2], 1, Path("traces"), Path("scratch"))
    assert [trial.allocator for trial in found] == ["jemalloc"]
    assert missing == [Missing("jemalloc", "the program has it already")]


def test_who_ends_otherwise_than_the_first_is_not_comparable(bench: Bench) -> None:
    bench.ends = {"jemalloc": "SIGSEGV"}
    found, _missing = tried(VARIANTS[:2], 1, Path("traces"), Path("scratch"))
    assert found[0].remarks == ()
    assert found[1].remarks == ("ended with SIGSEGV, exit 0, not with exit 0: its figures are not comparable",)
