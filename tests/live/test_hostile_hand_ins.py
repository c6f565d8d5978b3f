"""Hand-ins that mean harm: the right verdict, no point, nothing left behind, and the next one is graded as ever."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from observer.labs import attempt
from observer.labs.box import user_of_box
from observer.labs.grading import Document, Grader
from observer.labs.handin import HandIn
from tests.live.hostile_hand_ins import BUILDS, PROGRAMS, TOUCHED, program
from tests.live.test_labs import needs_box
from tests.unit.labs.hand_ins import bytes_of, given

pytestmark = [pytest.mark.timeout(180), pytest.mark.slow, needs_box]


@pytest.fixture(scope="module")
def labs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab whose programs have one second."""
    folder = tmp_path_factory.mktemp("labs")
    made = subprocess.run([sys.executable, "-m", "observer", "lab", "new", str(folder / "quick")], check=False)
    assert made.returncode == 0
    with (folder / "quick" / "lab.toml").open("a") as file:
        file.write("\n[limits]\nseconds = 1\nmemory_mib = 128\n")
    return folder


@pytest.fixture(scope="module")
def grader(labs: Path) -> Iterator[Grader]:
    with Grader(labs) as grader:
        yield grader


@pytest.fixture(autouse=True)
def nothing_is_left(grader: Grader, labs: Path) -> Iterator[None]:
    """What a hand-in left behind would be seen here; and that a good one scores full, afterwards as before."""
    before = traces()
    yield
    assert traces() == before
    good = (labs / "quick" / "solution" / "quick.c").read_text()
    document = graded(grader, good)
    assert (document.verdict, document.score) == ("OK", 2)


def traces() -> dict[str, object]:
    """Return what there is of processes in a box, System V's memory, and files in places that all may write to."""
    users = str(user_of_box() if os.geteuid() == 0 else os.geteuid())
    done = subprocess.run(["ps", "-o", "args=", "-u", users], capture_output=True, text=True, check=False)
    processes = [line for line in done.stdout.splitlines() if "/box/quick" in line]
    memory = [line.split()[:2] for line in Path("/proc/sysvipc/shm").read_text().splitlines()]
    files = {
        place: sorted(name for name in os.listdir(place) if not name.startswith(("observer-", "pytest", "sem.")))
        for place in ("/dev/shm",)
    }
    strays = [path for path in ("/etc/x", "/usr/x", "/box", "/results.json", "/autograder") if os.path.lexists(path)]
    return {"processes": processes, "memory": memory, "files": files, "strays": strays}


def graded(grader: Grader, source: str) -> Document:
    return grader.grade("a.handin", bytes_of(given(lab="quick", sources={"quick.c": source})))


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_gets_its_verdict_and_no_point(grader: Grader, name: str) -> None:
    verdicts, body = PROGRAMS[name]
    document = graded(grader, program(body))
    assert document.verdict in verdicts.split(" or "), document.why
    assert document.score == 0


def test_who_does_more_than_is_recorded_has_used_it_up(grader: Grader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_MOST_EVENTS", 4001)
    document = graded(grader, program("for (int i = 0; i < 6000; i++) free(malloc(10));"))
    assert (document.verdict, document.score) == ("OL", 0), document.why
    assert "more than is recorded: 4,001 calls" in document.why


@pytest.mark.parametrize("name", BUILDS)
def test_what_cannot_be_built_is_the_students_error(grader: Grader, name: str) -> None:
    document = graded(grader, BUILDS[name])
    assert (document.verdict, document.score) == ("RE", 0)
    assert "it cannot be built" in document.why


@pytest.mark.parametrize("name", TOUCHED)
def test_what_was_touched_is_suspect_and_scored_by_its_sources(grader: Grader, labs: Path, name: str) -> None:
    why, fields = TOUCHED[name]
    good = (labs / "quick" / "solution" / "quick.c").read_text()
    whole = msgspec.to_builtins(given(lab="quick", sources={"quick.c": good}))
    document = grader.grade("a.handin", bytes_of(msgspec.convert(whole | fields, HandIn)))
    assert (document.verdict, document.why.split(";")[0]) == ("SUSPECT", why)
    assert document.score == (0 if "sources" in fields else 2)
