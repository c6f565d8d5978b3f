"""Labs from start to grade, with real programs; hostile hand-ins; lint as root, as an ordinary user, without perf."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from observer.labs.box import Box
from observer.labs.catalogue import find_lab
from tests.conftest import FAULT_EVENTS_REFUSED, ROOT
from tests.live.hostile_hand_ins import program
from tests.live.users import workshop
from tests.ordinary import NO_HOME, PREFIX, PYTHON
from tests.unit.labs.hand_ins import bytes_of, given

__all__ = ["workshop"]

pytestmark = [pytest.mark.timeout(240)]
NO_BOX = Box.BUBBLEWRAP.why_not(Path("/usr"))
needs_box = pytest.mark.skipif(bool(NO_BOX), reason=NO_BOX or "there is one")

Lab = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(params=["as started", "as nobody"])
def lab(request: pytest.FixtureRequest, workshop: Path) -> Lab:
    """Runs `observer lab WORDS` in a folder of everyone's, as whoever runs the tests, and as an ordinary user."""
    if request.param == "as nobody" and (os.geteuid() != 0 or PYTHON is None):
        pytest.skip(
            "whoever runs the tests is an ordinary user already, or uid nobody may run no Python with the packages"
        )
    return runner(workshop, nobody=request.param == "as nobody")


def runner(folder: Path, *, nobody: bool, before: Sequence[str] = ()) -> Lab:
    python, path = PYTHON if nobody and PYTHON is not None else (sys.executable, str(ROOT))
    words = [
        *(PREFIX if nobody else []),
        *before,
        "env",
        f"PYTHONPATH={path}",
        NO_HOME,
        python,
        "-P",
        "-m",
        "observer",
        "lab",
    ]

    def run(*given: str, typed: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run([*words, *given], cwd=folder, input=typed, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("words", [("lab", "start", "threshold"), ("lab", "new", "mine"), ("run", "-q", "--", "true")])
def test_under_a_umask_that_keeps_its_maker_out_no_folder_is_left(workshop: Path, words: tuple[str, ...]) -> None:
    if os.geteuid() == 0 and PYTHON is None:
        pytest.skip("uid nobody may run no Python with the packages, and root is kept out of nothing")
    python, path = PYTHON or (sys.executable, str(ROOT))
    command = [*PREFIX, "sh", "-c", 'umask 777; exec "$@"', "sh", "env", f"PYTHONPATH={path}", NO_HOME]
    done = subprocess.run(
        [*command, python, "-P", "-m", "observer", *words], cwd=workshop, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (125 if words[0] == "run" else 2, "")
    assert "your umask takes your own rights away (umask 022 does not)" in done.stderr
    assert os.listdir(workshop) == []


def documents(lab: Lab, *words: str) -> list[dict[str, Any]]:
    done = lab("grade", "--json", *words)
    assert "Traceback" not in done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def observed_answers(name: str) -> str:
    """Return what is typed to predict the solution's answers, and to seal them."""
    text = (find_lab(name).folder / "solution" / "predictions.toml").read_text()
    values = [line.partition(" = ")[2].strip('"') for line in text.splitlines()]
    return "".join({"true": "yes", "false": "no"}.get(value, value) + "\n" for value in values) + "yes\n"


def solve(name: str, folder: Path) -> None:
    for path in (find_lab(name).folder / "solution").glob("*.c"):
        (folder / path.name).write_bytes(path.read_bytes())


@needs_box
@pytest.mark.parametrize(("name", "predicted"), [("threshold", 3), ("use_after_free", 3), ("rings", 3)])
def test_a_lab_from_start_to_grade(lab: Lab, workshop: Path, name: str, predicted: int) -> None:
    started = lab("start", name, "mine", "--seed", "4121")
    assert started.returncode == 0, started.stderr
    refused = lab("check", "mine")
    assert refused.returncode == 2
    assert "nothing is sealed, and nothing was run" in refused.stderr

    first = lab("check", "mine", typed=observed_answers(name))
    assert first.returncode == 1, first.stderr
    assert f"score: {predicted} / 10" in first.stdout
    assert "hint" in first.stdout

    solve(name, workshop / "mine")
    second = lab("check", "mine")
    assert (second.returncode, "score: 10 / 10" in second.stdout) == (0, True) or FAULT_EVENTS_REFUSED, second.stdout

    assert lab("submit", "mine").stdout == f"{name}-4121.handin\n"
    (document,) = documents(lab, f"{name}-4121.handin")
    assert (document["verdict"], document["seed"]) == ("OK", "4121")
    assert document["score"] == document["max_score"]
    assert document["max_score"] == 10 or FAULT_EVENTS_REFUSED


@needs_box
def test_what_is_given_is_the_handouts_whatever_is_handed_in(lab: Lab, workshop: Path) -> None:
    lab("start", "own_malloc", "mine", "--seed", "4121")
    solve("own_malloc", workshop / "mine")
    lab("submit", "mine", "-o", "a.handin")
    given = json.loads((workshop / "a.handin").read_text())
    assert list(given["sources"]) == ["own_malloc.c"]
    given["sources"]["driver.c"] = "int main(void) { return 0; }"
    (workshop / "b.handin").write_text(json.dumps(given))
    (document,) = documents(lab, "b.handin")
    assert {check["name"]: check["status"] for check in document["checks"] if check["name"] in ("used again", "played to the end")} == {
        "used again": "passed", "played to the end": "passed",
    }  # fmt: skip


@needs_box
def test_in_the_box_the_system_calls_of_the_lab_are_recorded_and_the_vdso(lab: Lab, workshop: Path) -> None:
    lab("start", "portal", "mine", "--seed", "4121")
    solve("portal", workshop / "mine")
    lab("submit", "mine", "-o", "a.handin")
    (document,) = documents(lab, "a.handin")
    failed = [check["name"] for check in document["checks"] if check["status"] == "failed"]
    predictions = ["predicted library", "predicted clock", "predicted time", "predicted gate"]
    assert (document["verdict"], failed) == ("OK", predictions), document  # no kernel need have the old gate


@needs_box
def test_predictions_count_only_as_they_were_sealed(lab: Lab, workshop: Path) -> None:
    lab("start", "threshold", "mine", "--seed", "4121")
    lab("predict", "mine", typed="no\n1\nyes\n")
    solve("threshold", workshop / "mine")
    lab("submit", "mine", "-o", "a.handin")
    (honest,) = documents(lab, "a.handin")
    given = json.loads((workshop / "a.handin").read_text())
    given["predictions"]["answers"]["below"] = True
    (workshop / "b.handin").write_text(json.dumps(given))
    (forged,) = documents(lab, "b.handin")
    assert (honest["score"], forged["score"]) == (8, 7)
    assert forged["notes"][0] == "the predictions are not what was sealed; they do not count"
    assert (forged["verdict"], forged["why"].split(";")[0]) == ("SUSPECT", "the predictions are not what was sealed")


def handed_in(folder: Path, name: str, source: str, **fields: object) -> str:
    path = folder / f"{name.replace(' ', '_').replace(chr(39), '')}.handin"
    path.write_bytes(bytes_of(given(lab="quick", sources={"quick.c": source}, **fields)))
    return path.name


@pytest.fixture
def quick(workshop: Path) -> Lab:
    """A lab whose programs have one second."""
    run = runner(workshop, nobody=False)
    assert run("new", "quick").returncode == 0
    with (workshop / "quick" / "lab.toml").open("a") as file:
        file.write("\n[limits]\nseconds = 1\nmemory_mib = 128\n")
    return run


@needs_box
def test_after_a_hostile_hand_in_the_next_is_graded_as_ever(quick: Lab, workshop: Path) -> None:
    bad = handed_in(workshop, "a", program("kill(-1, SIGKILL); for (;;);"))
    good = handed_in(workshop, "b", (workshop / "quick" / "solution" / "quick.c").read_text())
    assert [(each["file"], each["verdict"], each["score"]) for each in documents(quick, "--labs", ".", bad, good)] == [
        (bad, "TO", 0), (good, "OK", 2),
    ]  # fmt: skip


def test_without_perf_what_is_seen_of_faults_is_not_verifiable_and_the_rest_is_as_ever(workshop: Path) -> None:
    deny = workshop / "deny"
    subprocess.run(["gcc", "-o", str(deny), str(Path(__file__).parent / "deny.c")], check=True)
    done = runner(workshop, nobody=False, before=[str(deny), "298"])("lint", "sparse_array")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("not verifiable here") == 3


def test_lint_finds_a_solution_that_is_none_and_a_handout_that_is_one(quick: Lab, workshop: Path) -> None:
    folder = workshop / "quick"
    (folder / "solution" / "quick.c").replace(workshop / "kept.c")
    done = quick("lint", "./quick")
    assert done.returncode == 1
    assert "solution: 'nothing left' failed: seen 1, expected 0" in " ".join(done.stdout.split())
    shutil.copy(workshop / "kept.c", folder / "handout" / "quick.c")
    done = quick("lint", "./quick")
    assert done.returncode == 1
    assert "handout: gets points for 'nothing left'" in " ".join(done.stdout.split())


def test_lint_finds_a_solution_for_one_students_sizes_only(quick: Lab, workshop: Path) -> None:
    path = workshop / "quick" / "solution" / "quick.c"
    size = find_lab(str(workshop / "quick")).values("")["SIZE"]
    path.write_text(path.read_text().replace("malloc(SIZE)", f"malloc({size})"))
    done = quick("lint", "./quick")
    assert done.returncode == 1
    assert "solution: 'asks' failed with SIZE" in " ".join(done.stdout.split())


@needs_box
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", ["leak_hunt", "sparse_array", "arenas"])
def test_a_hand_in_scores_the_same_whoever_grades_it_where(workshop: Path, name: str) -> None:
    first = runner(workshop, nobody=False)
    first("start", name, "mine", "--seed", "4121")
    (workshop / "mine").chmod(0o777)
    solve(name, workshop / "mine")
    assert first("submit", "mine", "-o", "a.handin").returncode == 0
    deny = workshop / "deny"
    subprocess.run(["gcc", "-o", str(deny), str(Path(__file__).parent / "deny.c")], check=True)
    surroundings = {"as started": first, "no randomisation": runner(workshop, nobody=False, before=["setarch", "-R"])}
    if os.geteuid() == 0 and PYTHON is not None:
        surroundings["ordinary"] = runner(workshop, nobody=True)
    surroundings["without perf"] = runner(
        workshop, nobody=os.geteuid() == 0 and PYTHON is not None, before=[str(deny), "298"]
    )
    found = {where: documents(lab, "a.handin")[0] for where, lab in surroundings.items()}
    assert {each["verdict"] for each in found.values()} == {"OK"}
    outcomes = {where: {check["name"]: check["status"] for check in each["checks"]} for where, each in found.items()}
    for where, each in outcomes.items():
        differ = {check for check, status in each.items() if status != outcomes["as started"][check]}
        assert not differ or where == "without perf", (where, differ)
        assert {each[check] for check in differ} <= {"not verifiable here", "not reached"}
        points = sum(check["points"] for check in found["as started"]["checks"] if check["name"] not in differ)
        assert found[where]["score"] == points
