"""A run that was only recorded is whole: who asks about it first makes the trace that a run would have left."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest

from observer.files import Folder
from observer.model.events import Call, Event
from observer.recording import notes
from observer.trace.finish import Listener
from observer.trace.layout import SPOOL
from observer.trace.reader import Trace
from tests.live.small_disk import small_disk
from tests.recordings import OBSERVER, run_observer

NO_RUN_SHARES = ("n", "t_ns", "end_ns", "pid", "tid", "frame", "kernel", "child")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*OBSERVER, *words], capture_output=True, text=True, check=False)


def alike(events: list[Event]) -> list[dict[str, object]]:
    """Return *events* without what no two runs share."""
    rows: list[dict[str, object]] = [msgspec.to_builtins(event) for event in events if isinstance(event, Call)]
    return [{name: value for name, value in row.items() if name not in NO_RUN_SHARES} for row in rows]


@pytest.mark.parametrize("name", ["story", "threads", "fork_cow"])
def test_the_trace_that_is_made_later_is_the_one_of_a_run(
    sample: Callable[[str], str], tmp_path: Path, name: str
) -> None:
    options = ("-q", "--aslr", "off")
    at_once = run_observer((sample(name),), tmp_path / "run", options=options)
    later = run_observer((sample(name),), tmp_path / "only", options=(*options, "--record-only"))
    assert (at_once.status, at_once.stdout) == (later.status, later.stdout)
    before = json.loads((tmp_path / "only" / "meta.json").read_text())
    assert (before["outcome"]["ended"], before["outcome"]["status"], before["ledger"]) == ("exit", 0, [])
    shown = run("show", str(tmp_path / "only"))
    assert shown.returncode == 0
    assert "COMPLETE" in shown.stdout
    assert not (tmp_path / "only" / "spool").exists()
    later.assert_balanced()
    assert later.trace.meta.outcome.ended == "exit"
    assert later.trace.meta.how["call.served_by"] == at_once.trace.meta.how["call.served_by"]
    if name != "threads":  # whose calls lie in another order each time
        assert alike(later.events) == alike(at_once.events)


def test_the_user_is_told_what_makes_a_trace_of_it(sample: Callable[[str], str], tmp_path: Path) -> None:
    told = run("run", "--record-only", "-o", str(tmp_path / "only"), "--", sample("story")).stderr
    assert "recorded; observer show" in told
    asked = run("query", str(tmp_path / "only"), "select count(*) from calls")
    assert asked.returncode == 125
    assert "only recorded" in asked.stderr
    assert f"observer show {tmp_path / 'only'}" in asked.stderr


@pytest.mark.parametrize("words", [("export", "--to", "jsonl"), ("report", "-o", "{}/page.html"), ("compare",)])
def test_whoever_asks_first_makes_it(sample: Callable[[str], str], tmp_path: Path, words: tuple[str, ...]) -> None:
    only = tmp_path / "only"
    run_observer((sample("story"),), only, options=("-q", "--record-only"))
    verb, *rest = (word.format(tmp_path) for word in words)
    assert run(verb, str(only), *rest).returncode in (0, 1)  # compare says 1 where the book says otherwise
    assert not (only / "spool").exists()


def test_a_program_that_is_ended_or_killed_is_told_as_such(sample: Callable[[str], str], tmp_path: Path) -> None:
    stopped = run(
        "run", "-q", "--record-only", "--stop-after", "5", "-o", str(tmp_path / "stopped"), "--", sample("story")
    )
    assert stopped.returncode == 124
    crashed = run("run", "-q", "--record-only", "-o", str(tmp_path / "crashed"), "--", sample("crash"))
    assert crashed.returncode == -11
    for name, ended in (("stopped", "stopped"), ("crashed", "killed")):
        assert json.loads((tmp_path / name / "meta.json").read_text())["outcome"]["ended"] == ended
        assert run("show", str(tmp_path / name)).returncode == 0
        assert json.loads((tmp_path / name / "meta.json").read_text())["outcome"]["ended"] == ended


def test_it_gives_way_as_a_trace_does(sample: Callable[[str], str], tmp_path: Path) -> None:
    only = str(tmp_path / "only")
    assert run("run", "-q", "--record-only", "-o", only, "--", sample("story")).returncode == 0
    assert run("run", "-q", "--record-only", "-o", only, "--", sample("story")).returncode == 125
    assert run("run", "-q", "--force", "-o", only, "--", sample("story")).returncode == 0


@pytest.mark.parametrize("kilobytes", [128, 6144])
def test_a_disk_that_fills_is_told_at_once_and_by_the_status_that_a_run_has(
    sample: Callable[[str], str], tmp_path: Path, kilobytes: int
) -> None:
    """The least of them takes not even the first records; the other is nearly full before the program has ended."""
    for option in ("-q", "--allow-loss"):
        small = tmp_path / option
        small.mkdir()
        with small_disk(small, kilobytes):
            only = small / "only"
            said = run("run", "--record-only", option, "-o", str(only), "--", sample("hammer"), "1", "100000")
            before = json.loads((only / "meta.json").read_text())
        is_lossy = bool(before["ledger"])
        assert is_lossy or kilobytes > 1024
        assert said.returncode == (125 if is_lossy and option == "-q" else 0)
        assert ("not everything is recorded" in said.stderr) == is_lossy
        assert ("No space left on device" in said.stderr) == is_lossy
        assert before["outcome"]["closed"] or is_lossy
        assert ("recorded until" in said.stderr) == (bool(before["outcome"]["closed"]) and option != "-q")


def test_where_a_recording_ended_early_is_told_at_once(sample: Callable[[str], str], tmp_path: Path) -> None:
    told = run("run", "--record-only", "--max-events", "5", "-o", str(tmp_path / "only"), "--", sample("story"))
    assert told.returncode == 0
    assert "observer: recorded until" in told.stderr
    assert "(--max-events 5); the program ran on unobserved" in told.stderr


def test_the_whole_story_cannot_be_told_yet(sample: Callable[[str], str], tmp_path: Path) -> None:
    refused = run("run", "--record-only", "--full", "-o", str(tmp_path / "only"), "--", sample("story"))
    assert refused.returncode == 125
    assert "--full tells what is not made yet" in refused.stderr
    assert not (tmp_path / "only").exists()


def test_what_was_left_half_written_is_gone_when_the_trace_is_whole(
    sample: Callable[[str], str], tmp_path: Path
) -> None:
    assert run("run", "-q", "--record-only", "-o", str(tmp_path / "t"), "--", sample("story")).returncode == 0
    half = tmp_path / "t" / "calls.parquet.0123abcd.partial"
    half.write_bytes(b"killed meanwhile")
    assert run("show", str(tmp_path / "t")).returncode == 0
    assert not half.exists()


def test_what_another_finishes_meanwhile_is_opened_as_it_left_it(sample: Callable[[str], str], tmp_path: Path) -> None:
    run_observer((sample("story"),), tmp_path / "only", options=("-q", "--record-only"))
    first: list[Trace] = []

    def listeners() -> Sequence[Listener]:
        first.append(Trace.open(tmp_path / "only"))  # who was faster, while we had seen that it was not finished
        return ()

    assert Trace.open(tmp_path / "only", listeners).meta == first[0].meta
    assert first[0].meta.outcome.events > 0


def test_several_who_ask_at_once_see_one_trace_or_are_told_to_wait(
    sample: Callable[[str], str], tmp_path: Path
) -> None:  # fmt: skip
    only = str(tmp_path / "only")
    run_observer((sample("story"),), tmp_path / "only", options=("-q", "--record-only"))
    asking = [
        subprocess.Popen(
            [*OBSERVER, "show", only, "--top", "bytes"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    answers = [(asked.communicate(timeout=100), asked.returncode) for asked in asking]
    shown = {out for (out, _), status in answers if status == 0}
    assert len(shown) == 1
    assert all("is being recorded or finished right now" in said for (_, said), status in answers if status != 0)


def test_a_trace_that_is_made_is_never_made_again_of_what_a_kill_left_of_its_records(
    sample: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_observer((sample("story"),), tmp_path / "only", options=("-q", "--record-only"))
    remove, gone = Folder.remove, list[str]()

    def killed(folder: Folder, name: str) -> None:
        remove(folder, name)
        if folder.path.name == SPOOL:
            gone.append(name)
            raise KeyboardInterrupt

    monkeypatch.setattr(Folder, "remove", killed)
    with pytest.raises(KeyboardInterrupt):
        Trace.open(tmp_path / "only")
    assert gone == [notes.FILE]
    assert Trace.open(tmp_path / "only").meta.outcome.ended == "exit"
