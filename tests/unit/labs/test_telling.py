"""Labs on a terminal: a question as wide as it is, results that say what must be known."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from observer.labs.attempt import Attempt
from observer.labs.catalogue import packaged_labs
from observer.labs.marking import Marked
from observer.labs.program import Program
from observer.labs.telling import tell_marked, tell_started
from observer.labs.work import start
from observer.report.screen import make_console
from tests.builders import meta
from tests.unit.labs.hand_ins import check


def lines(console: Console) -> list[str]:
    assert isinstance(console.file, StringIO)
    return console.file.getvalue().splitlines()


def console(width: int = 80) -> Console:
    made = make_console(StringIO())
    made.width = width
    return made


@pytest.mark.parametrize("language", ["en", "ko"])
@pytest.mark.parametrize("name", [lab.name for lab in packaged_labs()])
def test_a_question_is_as_wide_as_the_terminal_and_nothing_of_it_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, language: str
) -> None:
    monkeypatch.chdir(tmp_path)
    work = start(name, Path("it"), "7")
    narrow = console()
    tell_started(narrow, work, language)
    shown = lines(narrow)
    assert max(map(cell_len, shown)) <= 80
    question = work.lab.question(language).read_text(encoding="utf-8")
    told = "".join("".join(shown).split())
    assert "".join(question.split()) in told
    assert sum(not line for line in shown) < question.count("\n\n") + 5


def told(*results: object, program: Program | None) -> list[str]:
    screen = console()
    tell_marked(
        screen, Marked(Attempt("OK" if program else "RE", "" if program else "no", program), list(results)), "en"
    )  # type: ignore[arg-type]
    return lines(screen)


def test_a_condition_without_points_must_hold() -> None:
    ran = Program(meta())
    shown = told(
        check("asks", "failed", 0, max_points=0, hint={"en": "Ask."}),
        check("faults", "not verifiable here", 0, max_points=0),
        program=ran,
    )
    assert shown[0] == "  must hold  failed  asks"
    assert "      0 / 0  not verifiable here  faults" in shown


def test_of_a_program_that_could_not_be_run_the_end_alone_says_why() -> None:
    failed = check("asks", "failed", 0, max_points=2, seen="no", why="no", hint={"en": "Ask."})
    assert any("hint" in line for line in told(failed, program=Program(meta())))
    shown = told(failed, program=None)
    assert not any("hint" in line or "seen" in line for line in shown)
    assert shown[-1].endswith("RE: no")
