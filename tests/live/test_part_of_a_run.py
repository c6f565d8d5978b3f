"""Only part of a run: from a place on, until a place, of chosen children alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.live.test_ending import LIVELY, RECORDERS, assert_as_alone, assert_closed
from tests.recordings import OBSERVER, environment_of_commands, run_observer

PARTS = (Path(__file__).parent / "parts.c").read_text()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("parts")
    (folder / "parts.c").write_text(PARTS)
    return compile_c(PARTS, folder / "parts")


LINE = 1 + next(i for i, line in enumerate(PARTS.splitlines()) if "the line that is reached" in line)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(
    ("place", "mallocs", "frees"), [
        ("work", 50, 0), ("after", 90, 45), (f"<stdin>:{LINE}", 90, 45), ("free", 50, 1), ("puts", 160, 120),
    ],
)  # fmt: skip
def test_until_a_place_everything_is_recorded_and_nothing_behind_it(
    parts: str, place: str, mallocs: int, frees: int, recorder: str, tmp_path: Path
) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--until", place, "--recorder", recorder])
    assert (recorded.status, recorded.stdout) == (3, "done\n"), recorded.stderr
    assert_closed(recorded, f"--until {place}")
    assert recorded.trace.meta.request.end_at == place
    made = Counter(call.op for call in recorded.calls if call.origin == "program")
    assert (made["malloc"], made["free"]) == (mallocs, frees)
    assert f"(--until {place})" in " ".join(recorded.stderr.split())


def test_a_place_may_be_reached_by_any_thread_or_child(tmp_path: Path) -> None:
    lively = compile_c(LIVELY, tmp_path / "lively")
    for place in ("handler", "posix_spawn", "changed_code"):
        recorded = run_observer([lively, "1500"], tmp_path / place, options=["--until", place])
        assert_as_alone(recorded, lively, "1500")
        assert_closed(recorded, f"--until {place}")


@pytest.mark.parametrize(
    ("place", "why"), [
        ("never_called", "no file that was loaded has it"), ("parts.c:99999", "no file that was loaded has it"),
        ("abort", "nobody came there"),
    ],
)  # fmt: skip
def test_a_place_that_is_not_reached_is_told(parts: str, place: str, why: str, tmp_path: Path) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--until", place])
    assert (recorded.status, recorded.trace.meta.outcome.closed) == (3, "")
    assert f"--until {place}: {why}" in recorded.trace.meta.notes


@pytest.mark.parametrize("place", ["", "two words", "story.c:", "story.c:0", "a/b", ":12"])
@pytest.mark.parametrize("option", ["--from", "--until"])
def test_what_is_no_place_is_refused(option: str, place: str, tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=[f"{option}={place}"])
    assert recorded.status == 125
    assert "is no place" in recorded.stderr
    assert f"try: {option} work, or {option} story.c:28" in recorded.stderr
    assert not (tmp_path / "t").exists()


TREE = """
{parts}; /bin/true; ({parts}; echo sub); env {parts}
{python} -c 'import os, subprocess; subprocess.run(["{parts}"]); pid = os.fork(); os._exit(0) if not pid else os.wait()'
exit 4
"""


@pytest.mark.parametrize("recorder", RECORDERS)
def test_children_are_followed_by_their_programs_names_and_others_run_free(
    parts: str, recorder: str, tmp_path: Path
) -> None:
    script = TREE.format(parts=parts, python=sys.executable)
    recorded = run_observer(
        ["sh", "-c", script], tmp_path / "t", options=["--follow", "part[rs]", "--recorder", recorder]
    )
    assert (recorded.status, recorded.stdout) == (4, "done\ndone\nsub\ndone\ndone\n"), recorded.stderr
    recorded.assert_balanced()
    programs = Counter(Path(event.path or "").name for event in recorded.processes if event.what in ("start", "exec"))
    assert programs["parts"] == 4
    assert len(programs) == 2, "the program that was started, and those that were asked for"
    made = Counter((call.op, call.size) for call in recorded.calls if call.origin == "program")
    assert (made["malloc", 100], made["realloc", 5000]) == (4, 100)
    free = Counter(Path(event.path or "").name for event in recorded.processes if event.what == "unfollowed")
    assert free["true"] == 1
    assert free["env"] == 1
    assert recorded.trace.meta.request.follow == ("part[rs]",)
    assert any(note.startswith("not followed: ") for note in recorded.trace.meta.notes)
    known = {event.pid for event in recorded.processes if event.what in ("start", "exec")}
    assert {event.pid for event in (*recorded.calls, *recorded.faults)} <= known | {
        event.child for event in recorded.processes if event.what in ("vfork", "fork")
    }


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_child_that_is_not_followed_runs_without_anything_of_ours(recorder: str, tmp_path: Path) -> None:
    lively = compile_c(LIVELY, tmp_path / "lively")
    recorded = run_observer([lively, "1500"], tmp_path / "t", options=["--follow", "x", "--recorder", recorder])
    assert "child" in recorded.stdout
    assert recorded.stdout.rstrip().endswith("changed 0"), "its code is what its files have"
    assert recorded.status == 9
    recorded.assert_balanced()
    [child] = {event.child for event in recorded.processes if event.what == "fork"}
    assert not [call for call in recorded.calls if call.pid == child]
    assert not [fault for fault in recorded.faults if fault.pid == child and fault.ring == 3]


def test_a_followed_part_may_end_early_too(parts: str, tmp_path: Path) -> None:
    script = f"true; {parts}; {parts}; exit 5"
    options = ["--follow", "parts", "--until", "after"]
    recorded = run_observer(["sh", "-c", script], tmp_path / "t", options=options)
    assert (recorded.status, recorded.stdout) == (5, "done\ndone\n")
    assert_closed(recorded, "--until after")


@pytest.mark.parametrize(("name", "why"), [("", "it is empty"), ("/bin/ls", "has no slash")])
def test_what_names_no_program_is_refused(name: str, why: str, tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=[f"--follow={name}"])
    assert recorded.status == 125
    assert why in recorded.stderr
    assert "try: --follow " in recorded.stderr


def test_following_some_is_not_had_with_what_tells_of_all(tmp_path: Path) -> None:
    recorded = run_observer(["true"], tmp_path / "t", options=["--follow", "ls", "-e", "kernel"])
    assert recorded.status == 125
    assert "cannot be had with -e kernel" in recorded.stderr


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize(
    ("place", "mallocs", "frees"), [
        ("work", 110, 120), ("after", 70, 75), (f"<stdin>:{LINE}", 70, 75), ("free", 110, 120), ("puts", 0, 0),
    ],
)  # fmt: skip
def test_from_a_place_on_everything_is_recorded_and_nothing_before_it(
    parts: str, place: str, mallocs: int, frees: int, recorder: str, tmp_path: Path
) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--from", place, "--recorder", recorder])
    assert (recorded.status, recorded.stdout) == (3, "done\n"), recorded.stderr
    recorded.assert_balanced()
    assert recorded.trace.meta.request.begin_at == place
    made = Counter(call.op for call in recorded.calls if call.origin == "program")
    assert (made["malloc"], made["free"]) == (mallocs, frees)
    assert [event.what for event in recorded.processes] == ["joined", "exit"]
    assert not [call for call in recorded.calls if call.misuse], "what was handed out before is no stranger's"
    assert any(note.startswith(f"recorded from {place} on") for note in recorded.trace.meta.notes)
    assert not [call for call in recorded.calls if call.served_by], "no model follows a run without its beginning"


@pytest.mark.parametrize("recorder", RECORDERS)
def test_a_part_between_two_places(parts: str, recorder: str, tmp_path: Path) -> None:
    options = ["--from", "after", "--until", "work", "--recorder", recorder]
    recorded = run_observer([parts], tmp_path / "t", options=options)
    assert (recorded.status, recorded.stdout) == (3, "done\n")
    assert_closed(recorded, "--until work")
    made = Counter(call.op for call in recorded.calls if call.origin == "program")
    assert (made["malloc"], made["free"], made["realloc"]) == (30, 30, 25)


@pytest.mark.parametrize("recorder", RECORDERS)
@pytest.mark.parametrize("place", ["handler", "posix_spawn", "changed_code"])
def test_threads_and_children_that_live_already_are_taken_over(place: str, recorder: str, tmp_path: Path) -> None:
    lively = compile_c(LIVELY, tmp_path / "lively")
    recorded = run_observer([lively, "1500"], tmp_path / "t", options=["--from", place, "--recorder", recorder])
    recorded.assert_balanced()
    assert recorded.status == 9
    assert "sum 955135 handled 20 spawned 5 child 5" in recorded.stdout or recorded.stdout.startswith("sum ")
    joined = [event for event in recorded.processes if event.what == "joined"]
    assert 1 <= len(joined) <= 2
    threads = {event.tid for event in recorded.events} - {event.pid for event in recorded.events}
    assert place == "changed_code" or threads, "threads that lived already are seen"
    assert not [call for call in recorded.calls if call.misuse]


def test_no_model_is_set_beside_a_run_without_its_beginning(parts: str, tmp_path: Path) -> None:
    run_observer([parts], tmp_path / "t", options=["-q", "--from", "after"])
    for allocator in ("book", "glibc"):
        words = [*OBSERVER, "compare", str(tmp_path / "t"), "--allocator", allocator]
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment_of_commands())
        assert done.returncode in (2, 125)
        assert "it was recorded from after on" in done.stderr
        assert "record it without --from" in done.stderr


def test_what_is_alive_where_the_recording_ends_is_not_told_as_never_freed(parts: str, tmp_path: Path) -> None:
    run_observer([parts], tmp_path / "t", options=["-q", "--until", "after"])
    words = [*OBSERVER, "show", str(tmp_path / "t"), "--leaks"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env=environment_of_commands())
    assert "where the recording ended (--until after)" in " ".join(done.stdout.split())


def test_a_place_to_begin_at_that_is_not_reached_leaves_an_empty_trace(parts: str, tmp_path: Path) -> None:
    recorded = run_observer([parts], tmp_path / "t", options=["--from", "never_called"])
    assert (recorded.status, recorded.stdout) == (3, "done\n")
    recorded.assert_balanced()
    assert recorded.events == []
    assert "--from never_called: no file that was loaded has it" in recorded.trace.meta.notes


def test_places_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    same = run_observer(["true"], tmp_path / "t", options=["--from", "f", "--until", "f"])
    assert (same.status, "are the same place" in same.stderr) == (125, True)
    kernel = run_observer(["true"], tmp_path / "t", options=["--from", "f", "-e", "kernel"])
    assert (kernel.status, "cannot be had with -e kernel" in kernel.stderr) == (125, True)
