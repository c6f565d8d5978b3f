"""A whole run around the instruments: what meta.json keeps of a wish, and what is left in the folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from observer.errors import BadTrace, CannotLaunch, CannotObserve
from observer.files import Folder
from observer.instruments.session import Recording, Wish
from observer.model.machine import Meta
from observer.model.selection import Selection, parse
from observer.recording.sink import Sink
from observer.runs import recorded
from observer.runs.record import record_run, record_uninterrupted
from observer.runs.recorded import request_of
from observer.trace.place import is_left_unfinished
from observer.trace.reader import Trace


def wish(**fields: Any) -> Wish:
    return Wish(**{"argv": ("/bin/true", "-x"), "environment": {"PATH": "/bin"}, "selection": Selection(), **fields})


def test_a_wish_is_kept_as_it_was_with_what_the_loader_and_the_allocator_read() -> None:
    environment = {"GLIBC_TUNABLES": "glibc.malloc.top_pad=0", "MALLOC_ARENA_MAX": "1", "LD_PRELOAD": "x", "HOME": "/"}
    asked = wish(
        environment=environment,
        selection=parse("trace=mmap,brk", frozenset({"brk", "mmap"})),
        max_events=7,
        stop_after=11,
        callers=16,
        through=("my_malloc",),
    )
    kept = request_of(asked, Path("/t/story.trace"), allow_loss=True)
    assert kept.command == ("/bin/true", "-x")
    assert (kept.directory, kept.expression, kept.syscalls) == ("/t/story.trace", "trace=mmap,brk", ("brk", "mmap"))
    assert kept.instruments == ("calls", "faults", "residency")
    assert (kept.recorder, kept.stack, kept.max_events, kept.allow_loss) == ("auto", 16, 7, True)
    assert (kept.stop_after, kept.through) == (11, ("my_malloc",))
    assert set(kept.environment) == {"GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "LD_PRELOAD"}


@pytest.mark.parametrize(("randomize", "told"), [(True, "on"), (False, "off"), (None, "as the system has it")])
def test_how_addresses_are_randomised_is_told_in_words(randomize: bool | None, told: str) -> None:
    assert request_of(wish(randomize=randomize), Path("t")).aslr == told


def test_all_system_calls_are_kept_as_none() -> None:
    assert request_of(wish(selection=parse("trace=all", frozenset())), Path("t")).syscalls is None


def recording(**fields: Any) -> Recording:
    counts = {"faults_counted": 0, "faults_lost": 0, "births": 0, "stops": 3, "rusage_faults": 0, **fields}
    return Recording(0, 0.25, counts, [], {}, sees_kernel_faults=True)


class Instruments:
    """Stand where the real ones would: they write two system calls and come back."""

    def __init__(self) -> None:
        self.result = recording()
        self.error: Exception | None = None

    def __call__(self, asked: Wish, sink: Sink, folder: Folder, told: object) -> Recording:
        if self.error is not None:
            raise self.error
        for number in (12, 9):
            sink.syscalls.append(1_000 + number, 1_100, 7, 7, number, 0, *[0] * 6, 0, 1, 2, 0, 0, 0)
        return self.result


@pytest.fixture
def instruments(monkeypatch: pytest.MonkeyPatch) -> Instruments:
    made = Instruments()
    monkeypatch.setattr(recorded, "run_instruments", made)
    return made


def test_what_was_recorded_becomes_a_trace_once_the_program_has_ended(instruments: Instruments, tmp_path: Path) -> None:
    order: list[str] = []

    @contextmanager
    def finishing() -> Iterator[None]:
        order.append("begin")
        yield
        order.append("end")

    told = record_run(wish(), tmp_path / "t", while_finishing=finishing)
    assert order == ["begin", "end"]
    assert told.totals["syscalls"] == 2
    assert [line.seen for line in told.ledger if line.identity == "records stored"] == [2]
    assert Trace.open(tmp_path / "t").meta == told
    assert not is_left_unfinished(tmp_path / "t")


def test_what_cannot_be_observed_leaves_no_folder(instruments: Instruments, tmp_path: Path) -> None:
    instruments.error = CannotObserve("ptrace is refused")
    with pytest.raises(CannotObserve, match="ptrace is refused"):
        record_run(wish(), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_not_there_is_said_before_a_folder_is_made(instruments: Instruments, tmp_path: Path) -> None:
    with pytest.raises(CannotLaunch, match="cannot run '/nowhere/x'"):
        record_run(wish(argv=("/nowhere/x",)), tmp_path / "t")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_refused_unless_it_may_be_replaced(instruments: Instruments, tmp_path: Path) -> None:
    record_run(wish(), tmp_path / "t")
    with pytest.raises(BadTrace, match="exists"):
        record_run(wish(), tmp_path / "t")
    replaced: list[str] = []
    record_run(wish(argv=("/bin/true", "again")), tmp_path / "t", replacing=lambda: replaced.append("older"))
    assert replaced == ["older"]
    assert Trace.open(tmp_path / "t").meta.request.command == ("/bin/true", "again")


def test_an_interrupted_program_is_of_no_use_to_who_needs_its_end(instruments: Instruments, tmp_path: Path) -> None:
    instruments.result = recording(interrupts=0)
    assert isinstance(record_uninterrupted(wish(), tmp_path / "whole"), Meta)
    instruments.result = recording(interrupts=1)
    assert record_run(wish(), tmp_path / "kept").totals["interrupts"] == 1
    with pytest.raises(KeyboardInterrupt):
        record_uninterrupted(wish(), tmp_path / "cut")
