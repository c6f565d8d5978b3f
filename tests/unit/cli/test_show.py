"""observer show and observer export on a trace that holds the hand-made story."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from observer.cli import export, show
from observer.errors import UsageError
from observer.model.call_columns import Apart, CallTotals, StepsTaken
from observer.model.events import Call, Event
from observer.model.ledger import balance
from observer.model.machine import Meta
from observer.model.stacks import CallStack, alike
from observer.story.by_line import steps_in
from observer.story.profile import RANKS
from observer.story.query import at_line
from tests.builders import ender, giver, meta, site, story_run
from tests.columned import ColumnsOfEvents, told_of, totals_of


class StoryTrace:
    """Stands where a trace on disk would: the same doors; what a question is about is found by others."""

    meta: Meta = meta()

    @classmethod
    def open(cls, _path: Path, _listeners: object) -> StoryTrace:
        return cls()

    def about_line(self, file: str, line: int) -> None:
        return None

    def count_at_line(self, file: str, line: int) -> Mapping[str, int]:
        return Counter(event.__struct_config__.tag for event in at_line(self.events(), file, line))

    def at_each_line(self) -> Iterator[Event]:
        return self.events()

    def about_pieces(self, calls: list[Call]) -> None:
        return None

    def columns(self, apart: Apart = Apart.LINES) -> ColumnsOfEvents:
        return ColumnsOfEvents(list(self.events()), apart=apart, stacks=alike(self.stacks()))

    def stacks(self) -> dict[int, CallStack]:
        return {}

    def steps(self) -> Iterator[StepsTaken]:
        return steps_in(event for event in story_run() if isinstance(event, Call))

    def call_totals(self) -> CallTotals:
        return totals_of(story_run())

    def told(self) -> Iterator[tuple[Event, bool]]:
        return told_of(story_run())

    def giver(self, call: Call) -> Call | None:
        return giver(story_run(), call)

    def ender(self, call: Call) -> Call | None:
        return ender(story_run(), call)

    def pid_of(self, n: int) -> int | None:
        return next((event.pid for event in story_run() if event.n == n), None)

    def last_of_first(self) -> int:
        ends = {"exit", "killed"}
        return max(
            event.n
            for event in story_run()
            if event.pid == story_run()[0].pid and getattr(event, "what", "") not in ends
        )

    def snapshot_after(self, n: int) -> None:
        return None

    directory = Path("story.trace")

    def events(self, kinds: frozenset[str] | None = None, about: None = None) -> Iterator[Event]:
        return (event for event in story_run() if kinds is None or event.__struct_config__.tag in kinds)

    def calls_by_number(self, n: int) -> Call | None:
        return next((event for event in story_run() if isinstance(event, Call) and event.n == n), None)


@pytest.fixture(autouse=True)
def _trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("observer.trace.reader.Trace", StoryTrace)


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="observer show")
    show.configure(parser)
    return parser.parse_args(["story.trace", *words])


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert show.run(parsed(*words)) == 0
    return capsys.readouterr().out


def test_show_tells_the_whole_run_and_names_the_folder(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--full")
    assert text.startswith("observer  ./story\n")
    assert "kept in story.trace" in text


def test_show_alone_is_one_screen_that_names_the_commands_for_more(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys).splitlines()
    assert lines[0] == "./story ended with status 0 after 0.062 s: 331 events"
    assert len(lines) < 24
    assert any("observer show story.trace --full" in line for line in lines)


def test_a_call_is_told_with_the_life_of_its_piece(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "--call", "283").splitlines()
    assert [line[:7].strip() for line in lines if line[:7].strip().isdigit()] == [
        "283",
        "284",
        "285",
        "286",
        "308",
        "309",
    ]


def test_how_much_a_line_caused_is_said_first(capsys: pytest.CaptureFixture[str]) -> None:
    first, second, *_rest = shown(capsys, "--line", "story.c:63").splitlines()
    assert (first, second[:14]) == ("story.c:63 caused 1 allocator call, 1 system call.", "story.c:63 in ")


def test_a_part_of_the_run_still_knows_how_far_the_break_moved(capsys: pytest.CaptureFixture[str]) -> None:
    assert "brk: the break moves down by 528 KiB (0x84000)" in shown(capsys, "--line", "story.c:63")


def test_kinds_are_listed_one_event_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(shown(capsys, "--kind", "call").splitlines()) >= 42
    assert len(shown(capsys, "--kind", "process,signal").splitlines()) == 2


def test_choices_narrow_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, "--line", "story.c:44", "--kind", "syscall", "--json")
    assert [json.loads(line)["name"] for line in text.splitlines()] == ["brk"] * 4


def test_steps_are_told_line_by_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert "  story.c:44\n    1-5              13 × malloc\n    1-2-3-4-5         4 × malloc\n" in shown(
        capsys, "--steps"
    )


def test_parts_are_told_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--map").startswith("\nThe address space")
    assert shown(capsys, "--ledger").startswith("\nThe ledger")


@pytest.mark.parametrize("measure", RANKS)
def test_lines_are_ranked_by_each_measure(capsys: pytest.CaptureFixture[str], measure: str) -> None:
    _blank, title, *rows = shown(capsys, "--top", measure).splitlines()
    assert title.startswith("Most ")
    assert rows == ["  no place has any"] or all("story.c:" in row or "(" in row or "+0x" in row for row in rows[1:])


def test_what_resident_counts_is_said_above_it(capsys: pytest.CaptureFixture[str]) -> None:
    _blank, title, *_rows = shown(capsys, "--top", "resident").splitlines()
    assert title == "Most page frames  that first touches of a line's pieces brought, freed or not"


def test_the_large_piece_is_what_was_asked_for_most_and_nothing_leaks(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "--top", "bytes").splitlines()[3].split() == ["2.0", "MiB", "1", "0", "bytes", "story.c:53"]
    assert shown(capsys, "--leaks") == "\nNot freed  0 bytes in 0 pieces when their processes ended\n"


def test_what_a_run_used_memory_for_is_told_part_by_part(capsys: pytest.CaptureFixture[str]) -> None:
    titles = {
        "--peak": "The peak  2.5 MiB alive in 20 pieces behind event 283, after 283.0 µs",
        "--lifetimes": "How long pieces lived  21 pieces ended, 0 never did",
        "--sizes": "Sizes  a chunk of glibc's is 8 bytes longer than asked for, rounded up to 16",
        "--fragmentation": "What the allocator's memory is",
    }
    assert {part: shown(capsys, part).splitlines()[1] for part in titles} == titles


@pytest.mark.parametrize("part", ["--peak", "--lifetimes", "--sizes", "--fragmentation", "--leaks"])
def test_each_part_of_it_is_objects_for_a_script(capsys: pytest.CaptureFixture[str], part: str) -> None:
    rows = [json.loads(line) for line in shown(capsys, part, "--json").splitlines()]
    assert all(isinstance(row, dict) for row in rows)
    assert bool(rows) == (part != "--leaks")


@pytest.mark.parametrize("chosen", [["--line", "story.c:28"], ["--call", "malloc #1"], ["--kind", "call"]])
@pytest.mark.parametrize(
    "part", ["--map", "--heap", "--leaks", "--peak", "--lifetimes", "--sizes", "--fragmentation", "--ledger"]
)
def test_events_are_not_chosen_for_what_is_told_of_the_whole_run(
    part: str, chosen: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match=f"{part} takes no {chosen[0]}"):
        shown(capsys, part, *chosen)
    with pytest.raises(UsageError, match=f"--top takes no {chosen[0]}"):
        shown(capsys, "--top", "bytes", "--json", *chosen)


def test_a_moment_is_of_the_heap_or_the_map(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UsageError, match="--at needs --heap or --map"):
        shown(capsys, "--at", "150")


@pytest.mark.parametrize("words", [["--kind", "calls"], ["--call", "1"], ["--line", "story.c"], ["--line", ""]])
def test_what_is_not_there_is_refused(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(UsageError):
        shown(capsys, *words)


def test_export_writes_json_lines_to_a_file_or_to_standard_output(
    capsysbinary: pytest.CaptureFixture[bytes], tmp_path: Path
) -> None:
    parser = argparse.ArgumentParser()
    export.configure(parser)
    target = tmp_path / "story.jsonl"
    assert export.run(parser.parse_args(["story.trace", "--to", "jsonl", "-o", str(target)])) == 0
    assert export.run(parser.parse_args(["story.trace", "--to", "jsonl"])) == 0
    assert capsysbinary.readouterr().out == target.read_bytes()
    assert len(target.read_bytes().splitlines()) == len(story_run())


@pytest.mark.parametrize("verb", [show, export])
def test_help_explains_exit_status_and_gives_examples(verb: object, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser(prog="observer verb")
    verb.configure(parser)  # type: ignore[attr-defined]
    with pytest.raises(SystemExit):
        parser.parse_args(["--help"])
    text = capsys.readouterr().out
    assert "Exit status:" in text
    assert "Examples:" in text
    assert max(map(len, text.splitlines())) <= 80


PARTS = (
    [], ["--full"], ["--all"], ["--line", "story.c:44"], ["--call", "118"], ["--kind", "fault"], ["--steps"],
    ["--top", "bytes"], ["--map"], ["--heap"], ["--map", "--at", "118"], ["--heap", "--at", "310"], ["--ledger"],
)  # fmt: skip


@pytest.mark.parametrize("words", PARTS, ids=" ".join)
def test_every_part_is_told_in_korean_on_demand_alone(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert not re.search("[가-힣]", shown(capsys, *words))
    assert re.search("[가-힣]", shown(capsys, *words, "--lang", "ko"))


def test_a_language_that_is_not_spoken_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        shown(capsys, "--lang", "de")
    assert ended.value.code == 2


class StackTrace(StoryTrace):
    """The story, recorded with callers: all of its calls have the same."""

    meta: Meta = msgspec.structs.replace(meta(), request=msgspec.structs.replace(meta().request, stack=2))

    def stacks(self) -> dict[int, CallStack]:
        return {1: CallStack((site(12, function="work"), site(30)), is_whole=False)}

    def events(self, kinds: frozenset[str] | None = None, about: None = None) -> Iterator[Event]:
        for event in super().events(kinds):
            yield msgspec.structs.replace(event, stack=1) if isinstance(event, Call) else event


class LossyTrace(StackTrace):
    """The same, of which calls were lost: its ledger does not balance."""

    meta: Meta = msgspec.structs.replace(StackTrace.meta, ledger=(balance("records stored", 81, 91, lost=10),))


@pytest.mark.parametrize("words", [["--leaks"], ["--top", "live", "--stacks"], ["--peak"], ["--sizes"]])
def test_of_a_run_that_lost_calls_no_sum_is_told_without_a_word(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("observer.trace.reader.Trace", StackTrace)
    assert "NOT everything is accounted for" not in shown(capsys, *words)
    monkeypatch.setattr("observer.trace.reader.Trace", LossyTrace)
    assert shown(capsys, *words).endswith("  verdict: INCOMPLETE: NOT everything is accounted for (--ledger)\n")


def test_stacks_stand_beneath_what_their_calls_came_to(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    monkeypatch.setattr("observer.trace.reader.Trace", StackTrace)
    lines = shown(capsys, "--top", "bytes", "--stacks").splitlines()
    first = next(i for i, line in enumerate(lines) if "story.c:28" in line)
    assert [line.strip() for line in lines[first + 1 : first + 4]] == [
        "work  story.c:12", "main  story.c:30", "… further callers are not known",
    ]  # fmt: skip
    assert "Not freed" in shown(capsys, "--leaks", "--stacks")
    [row, *_] = [json.loads(line) for line in shown(capsys, "--top", "bytes", "--stacks", "--json").splitlines()]
    assert ([caller["line"] for caller in row["callers"]], row["whole"]) == ([12, 30], False)


@pytest.mark.parametrize(
    ("trace", "words", "why"),
    [
        (StackTrace, ("--stacks",), "--stacks needs --top or --leaks"),
        (StackTrace, ("--top", "faults", "--stacks"), "told by line only"),
        (StoryTrace, ("--leaks", "--stacks"), "no callers were kept"),
    ],
)
def test_stacks_that_cannot_be_told_are_refused(
    trace: type[StoryTrace], words: tuple[str, ...], why: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("observer.trace.reader.Trace", trace)
    with pytest.raises(UsageError) as refused:
        shown(capsys, *words)
    assert why in f"{refused.value}"
