"""What stands behind a target: options of ours behind a trace or a workload, the program's own words behind a program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import FAULT_EVENTS_REFUSED
from tests.ordinary import NO_HOME, PREFIX, PYTHON, open_to_everyone

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")
Type = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module", params=[[], PREFIX], ids=["root", "ordinary"])
def observer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Type:
    """Return what runs the observer in a folder with a program `prog`, its trace and the workload `list`."""
    folder = tmp_path_factory.mktemp("targets")
    open_to_everyone(folder)
    source = Path(__file__).parent / "trials" / "example.c"
    subprocess.run(["gcc", "-g", "-O0", "-fno-builtin", "-o", folder / "prog", source], check=True)
    (folder / "list").write_text("malloc a 101\ntouch a\nfree a\n")
    assert PYTHON is not None
    start = [*request.param, "env", f"PYTHONPATH={PYTHON[1]}", NO_HOME, PYTHON[0], "-m", "observer"]

    def run(*words: str, answers: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*start, *words], cwd=folder, input=answers, capture_output=True, text=True)

    assert run("run", "-q", "-o", "t.trace", "--", "./prog").returncode == 0
    return run


@pytest.mark.parametrize("target", ["t.trace", "list", "first_touch"])
def test_options_of_compare_stand_before_or_behind(target: str, observer: Type) -> None:
    before, behind = (
        observer("compare", "--json", "--fit", "best", target),
        observer("compare", target, "--json", "--fit", "best"),
    )
    assert before.returncode == behind.returncode == 0, behind.stderr
    assert json.loads(behind.stdout)["calls"] == json.loads(before.stdout)["calls"]
    mixed = observer("compare", "--allocator", "glibc", target, "--json")
    assert json.loads(mixed.stdout)["allocator"] == "glibc"


def test_standard_input_is_a_workload_too(observer: Type) -> None:
    done = observer("compare", "-", "--json", answers="malloc a 101\nfree a\n")
    assert json.loads(done.stdout)["calls"]["total"] == 2


def test_what_stands_behind_a_program_is_the_programs(observer: Type) -> None:
    for words in (["./prog", "--json"], ["--", "./prog", "--json"]):
        done = observer("compare", *words)
        assert done.stderr == "--json\n"  # what the program printed
        assert "Side by side" in done.stdout
    assert observer("run", "-q", "-o", "p.trace", "--force", "./prog", "-q").stdout == "-q\n"


@pytest.mark.parametrize("target", ["t.trace", "list"])
@pytest.mark.parametrize("words", [["more"], ["--", "more"], ["--json", "more"]], ids=" ".join)
def test_a_trace_or_a_workload_takes_no_arguments(target: str, words: list[str], observer: Type) -> None:
    done = observer("compare", target, *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"stands behind {target}, which is no program" in done.stderr


def test_an_option_that_is_unknown_behind_a_target_is_a_usage_error(observer: Type) -> None:
    for words in (
        ["compare", "t.trace", "--nothing"],
        ["show", "t.trace", "--nothing"],
        ["simulate", "list", "--nothing"],
    ):
        done = observer(*words)
        assert done.returncode == 2
        assert "unrecognized arguments: --nothing" in done.stderr


def test_other_verbs_take_options_on_both_sides(observer: Type) -> None:
    for option in ("--steps", "--map", "--ledger", "--json"):
        behind, before = observer("show", "t.trace", option), observer("show", option, "t.trace")
        assert behind.stdout == before.stdout != ""
    assert observer("simulate", "list", "--json").stdout == observer("simulate", "--json", "list").stdout != ""
    assert observer("export", "t.trace", "--to", "rep").stdout == observer("export", "--to", "rep", "t.trace").stdout
    measured = observer("allocators", "list", "--only", "glibc", "--runs", "1", "--json")
    assert [each["allocator"] for each in json.loads(measured.stdout)] == ["glibc"]


@pytest.mark.parametrize("more", [[], ["--json"], ["--steps"], ["--kind", "call"]], ids=" ".join)
def test_a_line_without_events_says_why(more: list[str], observer: Type) -> None:
    done = observer("show", "t.trace", "--line", "example.c:14", *more)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nothing is told at example.c:14: " in done.stderr
    if FAULT_EVENTS_REFUSED:
        assert "page faults were only counted, and have no lines" in done.stderr
        return
    assert "is resident since event" in done.stderr
    assert "example.c:13" in done.stderr


def test_a_file_that_is_not_in_the_trace_is_guessed(observer: Type) -> None:
    done = observer("show", "t.trace", "--line", "exmaple.c:12")
    assert (done.returncode, done.stdout) == (1, "")
    assert "try: --line example.c:12" in done.stderr
    assert observer("show", "t.trace", "--line", "example.c:12").returncode == 0


def test_a_kind_that_a_line_has_not_is_said(observer: Type) -> None:
    done = observer("show", "t.trace", "--line", "example.c:12", "--kind", "signal")
    assert done.returncode == 1
    assert "it has events, but none that the other options choose" in done.stderr


def test_ask_reveals_nothing_for_what_is_no_answer(observer: Type) -> None:
    done = observer("compare", "list", "--ask", "--questions", "1", answers="hello\ny\n")
    before, _said, after = done.stdout.partition("that is no answer: y or n")
    assert "The book says" not in before
    assert after.lstrip().startswith("; an empty line skips\n      > y\n      right. ")


def test_a_name_that_is_nearly_a_workloads_is_guessed(observer: Type) -> None:
    compared, simulated = observer("compare", "six_step", "--json"), observer("simulate", "six_step")
    assert (compared.returncode, simulated.returncode) == (127, 2)
    assert compared.stderr.endswith("try: six_steps\n")
    assert simulated.stderr.endswith("try: six_steps\n")
    assert "--list" in observer("simulate", "nothing-like-it").stderr
