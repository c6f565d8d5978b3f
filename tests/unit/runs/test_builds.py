"""One source under several C libraries: what is compiled, recorded, emulated and left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from observer.errors import CannotObserve
from observer.instruments.session import Wish
from observer.model.events import Event
from observer.model.machine import Meta, Outcome
from observer.runs import builds
from observer.runs.builds import built, run_builds
from observer.tracee.allocators import Missing
from observer.tracee.builds import Build
from tests.builders import library, meta, site, syscall

NATIVE = Build("glibc", "/s/prog-glibc", ("cc", "-O0"))
FOREIGN = Build("arm64", "/s/prog-arm64", ("aarch64-linux-gnu-gcc", "-static"), is_native=False)


class Recorded:
    """Stands where a trace on disk would: one call into the library with one system call."""

    meta: Meta

    @classmethod
    def open(cls, _directory: Path) -> Recorded:
        return cls()

    def events(self) -> Iterator[Event]:
        yield library(3, "putc", site=site(7, "/src/prog.c"))
        yield syscall(4, "write", 1, within=3)


class Bench:
    """Stands where programs would be run."""

    def __init__(self) -> None:
        self.wishes: dict[Path, Wish] = {}
        self.has_emulator = True

    def record(self, wish: Wish, directory: Path) -> Meta:
        self.wishes[directory] = wish
        return Recorded.meta

    def emulate(self, program: Build, words: Sequence[str], log: Path) -> tuple[dict[str, int], str]:
        if not self.has_emulator:
            raise CannotObserve("there is no emulator", remedy="apt-get install qemu-user")
        return {"write": 7}, "exit 3"

    @contextmanager
    def aside(self, errors: Path, *, shown: bool) -> Iterator[None]:
        assert not shown
        yield


@pytest.fixture(autouse=True)
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    made = Bench()
    Recorded.meta = meta()
    monkeypatch.setattr(builds, "record_uninterrupted", made.record)
    monkeypatch.setattr(builds, "listed_calls", made.emulate)
    monkeypatch.setattr(builds, "Streams", lambda scratch: made)
    monkeypatch.setattr(builds, "Trace", Recorded)
    return made


def test_what_cannot_be_compiled_is_kept_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    def build(side: str, source: Path, flags: Sequence[str], folder: Path) -> Build | Missing:
        assert source.is_absolute()
        return NATIVE if side == "glibc" else Missing(side, "no compiler")

    monkeypatch.setattr(builds, "build", build)
    assert built(Path("prog.c"), ["glibc", "musl"], [], Path("/s")) == ([NATIVE], [Missing("musl", "no compiler")])


def test_a_build_is_recorded_with_everything(bench: Bench) -> None:
    told = run_builds([NATIVE], ["-x"], "prog.c", Path("traces"), Path("scratch"))
    wish = bench.wishes[Path("traces/glibc")]
    assert wish.argv == ("/s/prog-glibc", "-x")
    assert wish.selection.syscalls is None
    assert wish.selection.instruments == {"calls", "faults", "residency", "library"}
    assert wish.selection.text == "trace=all,library"
    (side,) = told.sides
    assert (side.name, side.compiler, side.status, side.observed) == ("glibc", "cc -O0", "exit 0", True)
    assert [(row.line, row.function, row.syscalls) for row in side.calls] == [(7, "putc", {"write": 1})]
    assert told.verdicts == ["COMPLETE WITH EXCLUSIONS"]


def test_how_a_program_ended_is_told_by_its_signal() -> None:
    Recorded.meta = meta(outcome=Outcome(None, "SIGSEGV", "killed", 2))
    (side,) = run_builds([NATIVE], [], "prog.c", Path("traces"), Path("scratch")).sides
    assert side.status == "SIGSEGV"


def test_a_build_for_another_processor_is_listed_by_its_emulator(bench: Bench) -> None:
    told = run_builds([NATIVE, FOREIGN], [], "prog.c", Path("traces"), Path("scratch"))
    side = told.sides[1]
    assert (side.name, side.syscalls, side.status, side.observed) == ("arm64", {"write": 7}, "exit 3", False)
    assert side.compiler == "aarch64-linux-gnu-gcc -static; run and listed by qemu-user"
    assert len(told.verdicts) == 1


def test_without_an_emulator_it_is_left_out(bench: Bench) -> None:
    bench.has_emulator = False
    told = run_builds([FOREIGN], [], "prog.c", Path("traces"), Path("scratch"))
    assert (told.sides, told.verdicts) == ([], [])
    assert told.missing == [Missing("arm64", "there is no emulator", "apt-get install qemu-user")]
