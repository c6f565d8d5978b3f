"""Workloads made ready to be run for real, and made of recorded runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from observer.errors import BadWorkload, UsageError
from observer.model.events import Event
from observer.runs import workloads
from observer.runs.workloads import interpreted, recorded_operations
from tests.builders import held, meta, story_run


@pytest.fixture(autouse=True)
def _compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads.interpreter, "build", lambda spare: Path("/cache/workload-53"))


def test_a_workload_has_the_program_that_runs_it(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("malloc a 100\ntouch a\n")
    ready = interpreted(tmp_path / "w", tmp_path)
    assert (ready.program, ready.text) == ("/cache/workload-53", tmp_path / "w")
    assert [operation.kind for operation in ready.operations] == ["malloc", "touch"]
    assert ready.arguments(Path("/r")) == ("-o", "/r", str(tmp_path / "w"))


def test_one_of_the_malloc_lab_is_written_out(tmp_path: Path) -> None:
    (tmp_path / "short.rep").write_text("20000\n1\n2\n1\na 0 107\nf 0\n")
    (tmp_path / "scratch").mkdir()
    ready = interpreted(tmp_path / "short.rep", tmp_path / "scratch")
    assert ready.text == tmp_path / "scratch" / "short.workload"
    assert [line.split()[0] for line in ready.text.read_text().splitlines()] == ["malloc", "free"]


def test_without_operations_there_is_nothing_to_run(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("# nothing\n")
    with pytest.raises(UsageError, match="it has no operations"):
        interpreted(tmp_path / "w", tmp_path)


def test_too_many_operations_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workloads, "_MOST_OPERATIONS", 2)
    (tmp_path / "w").write_text("malloc a 1\nfree a\n")
    interpreted(tmp_path / "w", tmp_path)
    (tmp_path / "w").write_text("malloc a 1\nfree a\nmalloc a 1\n")
    with pytest.raises(UsageError, match="has more than 2 operations"):
        interpreted(tmp_path / "w", tmp_path)


def test_what_makes_no_sense_is_found_before_it_is_run(tmp_path: Path) -> None:
    (tmp_path / "w").write_text("malloc a 1\nfree a\nfree a\n")
    with pytest.raises(BadWorkload, match="line 3"):
        interpreted(tmp_path / "w", tmp_path)


class StoryTrace:
    """Stands where a trace on disk would."""

    meta = meta()

    @classmethod
    def open(cls, _directory: Path) -> StoryTrace:
        return cls()

    def events(self, kinds: frozenset[str] | None = None) -> Sequence[Event]:
        return held(story_run())(kinds)


def test_a_recorded_run_becomes_operations_and_what_is_left_out_is_said_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workloads, "Trace", StoryTrace)
    said: list[tuple[str, int]] = []
    operations = recorded_operations(Path("story.trace"), lambda what, count: said.append((what, count)))
    assert next(operations).kind == "malloc"
    assert said == []
    kinds = {operation.kind for operation in operations}
    assert {"touch", "free"} <= kinds
    assert all(count > 0 for _what, count in said)
