"""The scripts: where they put what they build, and what they say when something is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, needs

SCRIPTS = [
    path
    for path in sorted([*(ROOT / "scripts").iterdir(), ROOT / ".ci" / "run"])
    if path.is_file() and "bash" in path.read_text().partition("\n")[0]
]
PARTS = {
    "cases.sh", "chroot.sh", "environment.py", "finishing.py", "foreign.sh", "guest.sh", "kernel_side.py",
    "opening.py", "peers.py", "setup.sh", "showing.py",
}  # fmt: skip
"""What scripts are made of; nobody calls these."""
EVERY = sorted(
    path.name
    for path in (ROOT / "scripts").iterdir()
    if path.is_file() and path.name not in PARTS and path.suffix != ".yaml"
)
IN_PYTHON = [name for name in EVERY if "python3" in (ROOT / "scripts" / name).read_text().partition("\n")[0]]
ORDINARY = 65534 if os.geteuid() == 0 else None
"""Whom root becomes to see what an ordinary user sees."""

PLACE = '. "$1/scripts/setup.sh"; choose_place; printf "%s\\n" "$state" "$venv" "$samples"'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a small checkout of our own: the scripts and the project file, nothing built."""
    place = tmp_path / "checkout"
    place.mkdir()
    shutil.copytree(ROOT / "scripts", place / "scripts")
    shutil.copytree(ROOT / "c_samples", place / "c_samples", ignore=shutil.ignore_patterns("build"))
    shutil.copy(ROOT / "pyproject.toml", place)
    return place


@pytest.fixture
def foreign(checkout: Path) -> Iterator[Path]:
    """Return a checkout that an ordinary user may read only, beside a folder `ours` that is the user's."""
    # Not below tmp_path: its parents are closed to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        shutil.move(checkout, folder / "checkout")
        (folder / "ours").mkdir()
        if ORDINARY is not None:
            os.chown(folder / "ours", ORDINARY, -1)
        (folder / "checkout").chmod(0o555)
        yield folder / "checkout"
        (folder / "checkout").chmod(0o755)


def place_of(checkout: Path, user: int | None = None, **given: str) -> list[str]:
    """Return state, venv and samples as chosen for *checkout*."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("OBSERVER_STATE", "XDG_CACHE_HOME", "TMPDIR")
    }
    done = subprocess.run(
        ["bash", "-c", PLACE, "place", str(checkout)],
        env={**kept, **given},
        user=user,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_bash_can_read_it(script: Path) -> None:
    subprocess.run(["bash", "-n", str(script)], check=True)


@needs("shellcheck")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_finds_nothing(script: Path) -> None:
    done = subprocess.run(["shellcheck", "-x", "-P", str(ROOT), str(script)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("script", ["run", "test", "check", "compile", "fresh", "provision.sh", "vm", "box"])
def test_it_can_be_executed(script: str) -> None:
    assert os.access(ROOT / "scripts" / script, os.X_OK)


def test_an_own_checkout_holds_everything(checkout: Path) -> None:
    assert place_of(checkout) == [str(checkout / part) for part in ("build", ".venv", "build/c_samples")]


def test_a_named_folder_holds_everything(checkout: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    assert place_of(checkout, OBSERVER_STATE=str(state)) == [str(state), str(state / "venv"), str(state / "c_samples")]


def test_a_broken_environment_is_left_alone(checkout: Path, tmp_path: Path) -> None:
    interpreter = checkout / ".venv" / "bin" / "python"
    interpreter.parent.mkdir(parents=True)
    interpreter.write_text("#!/bin/sh\nexit 1\n")
    interpreter.chmod(0o755)
    state, venv, _ = place_of(checkout, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert state.startswith(str(tmp_path / "cache" / "malloc-observer"))
    assert venv == f"{state}/venv"


def test_a_foreign_checkout_is_left_alone(foreign: Path) -> None:
    cache = foreign.parent / "ours"
    state, _, _ = place_of(foreign, user=ORDINARY, XDG_CACHE_HOME=str(cache))
    assert state.startswith(f"{cache}/malloc-observer/")


def test_without_a_home_the_temporary_folder_is_used_again_and_again(foreign: Path) -> None:
    given = {"HOME": "/nonexistent", "TMPDIR": str(foreign.parent / "ours")}
    first = place_of(foreign, user=ORDINARY, **given)
    assert first[0].startswith(f"{given['TMPDIR']}/malloc-observer-{ORDINARY or os.geteuid()}/")
    assert place_of(foreign, user=ORDINARY, **given) == first


def test_a_link_that_somebody_laid_there_is_not_followed(foreign: Path) -> None:
    ours = foreign.parent / "ours"
    (ours / f"malloc-observer-{ORDINARY or os.geteuid()}").symlink_to(ours)
    state, _, _ = place_of(foreign, user=ORDINARY, HOME="/nonexistent", TMPDIR=str(ours))
    assert state.startswith(f"{ours}/tmp.")


def test_what_is_missing_is_named_in_one_line_with_the_command(checkout: Path, tmp_path: Path) -> None:
    # A machine with the small tools but no compiler, no make, no Python and no way to become root.
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("bash", "env", "readlink", "dirname", "sha256sum", "cut", "mkdir", "cat", "grep"):
        found = shutil.which(name)
        assert found
        (tools / name).symlink_to(found)
    (tools / "id").write_text("#!/bin/sh\necho 1000\n")
    (tools / "apt-get").write_text("#!/bin/sh\necho called >&2; exit 1\n")
    for name in ("id", "apt-get"):
        (tools / name).chmod(0o755)
    done = subprocess.run(
        ["bash", str(checkout / "scripts" / "run")],
        env={"PATH": str(tools), "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 125
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("run: missing: ")
    assert "gcc libc6-dev make" in line
    assert line.endswith("make'")
    assert "su -c 'apt-get update && apt-get install -y " in line


@pytest.mark.parametrize("script", EVERY)
def test_help_is_answered_before_anything_is_made(script: str, checkout: Path) -> None:
    for word in ("--help", "-h"):
        done = subprocess.run([checkout / "scripts" / script, word], capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        assert f"scripts/{script}" in done.stdout
        assert "#" not in done.stdout
        assert max(map(len, done.stdout.splitlines())) <= 80
    assert not (checkout / ".venv").exists()
    assert not (checkout / "build").exists()


def test_there_are_scripts_in_python() -> None:
    assert IN_PYTHON == [
        "accuracy",
        "bench",
        "box",
        "chapter",
        "classroom",
        "crossing",
        "facts",
        "golden",
        "kills",
        "places",
        "pressure",
        "soak",
        "workloads",
    ]


@pytest.mark.parametrize(
    "words",
    [
        "accuracy nothing", "box --provider hyperv", "places", "bench x", "bench simulate 0", "bench glibc 3", "chapter rings", "crossing 0", "kills --times 0", "pressure",
        "classroom --students 0", "classroom --labs none", "classroom --jobs x",
        "pressure w 0", "soak --jobs 0", "soak --length x", "soak --minutes 1", "soak --mixture --minutes 1 --programs 1",
        "soak --mixture --library here", "workloads nothing",
    ],
)  # fmt: skip
def test_words_that_make_no_sense_are_a_usage_error(words: str) -> None:
    script, *rest = words.split()
    done = subprocess.run([sys.executable, ROOT / "scripts" / script, *rest], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "error: " in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_a_workload_that_is_not_there_is_said_in_a_line(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "pressure"
    done = subprocess.run([sys.executable, script, tmp_path / "none", "8"], capture_output=True, text=True)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "No such file" in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("user", [None, ORDINARY], ids=["own", "foreign"])
def test_a_script_in_python_makes_the_environment_and_finds_it_again(user: int | None, foreign: Path) -> None:
    for name in ("observer", "README.md", "LICENSE"):
        source = ROOT / name
        copy = shutil.copytree if source.is_dir() else shutil.copy
        foreign.chmod(0o755)
        copy(source, foreign / name)
    ours = foreign.parent / "ours"
    # An interpreter without our packages: the system's, not the one that runs the tests.
    given = {"HOME": "/nonexistent", "TMPDIR": str(ours), "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"}
    kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http", "SSL", "REQ"))}
    words = [foreign / "scripts" / "crossing", "1"]
    first, second = (
        subprocess.run(words, env={**kept, **given}, user=user, cwd="/", capture_output=True, text=True) for _ in "12"
    )
    if "No matching distribution" in first.stderr:
        pytest.skip("pip reaches no package index")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    assert "crossing: making a virtual environment" in first.stderr
    assert second.stderr == ""
    assert "getpid (system call)" in second.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "debian12"), ("debian99", "debian11"), ("debian12-arm64", "arm64-debian12"), ("--quick debian12", "--short"),
        ("--only", "a part of their names"),
    ],
)  # fmt: skip
def test_vm_names_its_machines(words: str, said: str) -> None:
    done = subprocess.run([str(ROOT / "scripts" / "vm"), *words.split()], capture_output=True, text=True)
    assert done.returncode == 125
    (line,) = done.stderr.splitlines()
    assert said in line


@pytest.mark.parametrize(
    ("only", "run"), [("", ["1 one", "2 two", "3 one of two"]), ("^one", ["1 one", "2 one of two"]), ("none", [])]
)
def test_a_part_of_the_cases_is_run_alone(only: str, run: list[str], tmp_path: Path) -> None:
    cases = """. scripts/cases.sh
        enter() { echo "$number $1"; }
        suite=machine table=$1/table logs=$1/case only=$2
        for each in one two 'one of two'; do attempt "$each" 0 "$each"; done"""
    subprocess.run(["bash", "-uc", cases, "cases", str(tmp_path), only], cwd=ROOT, check=True, capture_output=True)
    logs = sorted(tmp_path.glob("case-*.log"))
    assert [log.read_text().rstrip() for log in logs] == run
    rows = (tmp_path / "table").read_text().splitlines() if run else []
    assert [row.split()[-1] for row in rows] == ["ok"] * len(run)


def test_fresh_names_its_suites() -> None:
    done = subprocess.run([str(ROOT / "scripts" / "fresh")], capture_output=True, text=True)
    assert done.returncode == 125
    assert "bookworm" in done.stderr
