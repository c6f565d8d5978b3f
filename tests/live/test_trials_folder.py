"""The folder of a trace lies where others write: what they do to it harms neither the program, nor them, nor the tool."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.live.small_disk import small_disk
from tests.ordinary import NO_HOME, PREFIX, PYTHON, open_to_everyone

TRIALS: Final = Path(__file__).parent / "trials"
pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")
Done = subprocess.CompletedProcess[str]


class Bench:
    """A folder with the programs of these tests, in which one user works; `victim/file` is not the user's to lose."""

    def __init__(self, folder: Path, prefix: list[str]) -> None:
        self.folder = folder
        self._prefix = prefix
        open_to_everyone(folder)
        for name in ("tampers", "touches", "waits"):
            subprocess.run(["gcc", "-g", "-O0", "-fno-builtin", "-o", folder / name, TRIALS / f"{name}.c"], check=True)
        self.clear()

    def clear(self) -> None:
        """Leave nothing but the programs and the victim."""
        for path in self.folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name not in ("tampers", "touches", "waits"):
                path.unlink()
        (self.folder / "victim").mkdir(mode=0o777)
        (self.folder / "victim").chmod(0o777)
        (self.folder / "victim" / "file").write_text("precious")
        (self.folder / "victim" / "file").chmod(0o666)

    def command(self, *words: str) -> list[str]:
        """Return the command that runs the observer as this user."""
        assert PYTHON is not None
        return [
            *self._prefix,
            "env",
            f"PYTHONPATH={PYTHON[1]}",
            NO_HOME,
            PYTHON[0],
            "-m",
            "observer",
            *words,
        ]

    def observer(self, *words: str, limits: str = "", **options: object) -> Done:
        """Run the observer; *limits* are commands of the shell that come before it."""
        command = ["sh", "-c", f'{limits}\nexec "$@"', "sh", *self.command(*words)]
        return subprocess.run(
            command, cwd=self.folder, text=True, errors="backslashreplace", timeout=100,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
        )  # type: ignore[call-overload, no-any-return]  # fmt: skip

    def names(self) -> set[str]:
        """Return what lies in the folder besides the programs and the victim."""
        return {path.name for path in self.folder.iterdir()} - {"tampers", "touches", "waits", "victim"}

    def assert_unharmed(self) -> None:
        """Nothing of the victim's was touched, and nobody goes on."""
        assert [path.name for path in (self.folder / "victim").iterdir()] == ["file"]
        assert (self.folder / "victim" / "file").read_text() == "precious"
        here = [path for path in Path("/proc").glob("[0-9]*/exe") if self._is_ours(path)]
        assert here == []

    def _is_ours(self, exe: Path) -> bool:
        with contextlib.suppress(OSError):
            return exe.readlink().parent == self.folder
        return False


@pytest.fixture(scope="module", params=[[], PREFIX], ids=["root", "ordinary"])
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("folder"), request.param)


@pytest.fixture
def bench(made: Bench) -> Bench:
    made.clear()
    return made


def is_one_complaint(text: str) -> bool:
    """Whether *text* is one message, what to try with it, and nothing that steers a terminal."""
    lines = text.splitlines()
    return (
        len(lines) in (1, 2)
        and lines[0].startswith("observer: ")
        and all(line.startswith("  try: ") for line in lines[1:])
        and text.replace("\n", "").isprintable()
    )


# ---- disturbed while the program runs ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        "moved", "removed", "linked", "planted", "hard links", "pipes", "truncated", "noted", "lengthened",
        "exchanged",
    ],
)  # fmt: skip
def test_who_disturbs_the_folder_goes_on_and_one_line_says_so(how: str, bench: Bench) -> None:
    done = bench.observer("run", "-q", "-o", "t.trace", "--", "./tampers", "t.trace", how)
    assert (done.returncode, done.stdout) == (125, "went on\n"), done.stderr
    assert is_one_complaint(done.stderr)
    assert "somebody changed t.trace while it was recorded" in done.stderr
    bench.assert_unharmed()
    shown = bench.observer("show", "--ledger", "elsewhere" if how == "moved" else "t.trace")
    assert shown.returncode in (0, 125)
    assert is_one_complaint(shown.stderr) if shown.returncode else shown.stderr == ""
    bench.assert_unharmed()


@pytest.mark.parametrize(("how", "lost"), [("truncated", "calls"), ("noted", "notes"), ("lengthened", "calls")])
def test_what_is_whole_is_told_afterwards_and_the_loss_is_said(how: str, lost: str, bench: Bench) -> None:
    bench.observer("run", "-q", "-o", "t.trace", "--", "./tampers", "t.trace", how)
    shown = bench.observer("show", "--kind", "process", "--json", "t.trace")
    assert shown.returncode == 0, shown.stderr
    meta = json.loads((bench.folder / "t.trace" / "meta.json").read_text())
    stored = next(line for line in meta["ledger"] if line["identity"] == "records stored")
    assert stored["verdict"] == "INCOMPLETE"
    assert f"{lost} lost" in stored["note"]
    assert {line["verdict"] for line in meta["ledger"]} & {"INCOMPLETE", "INCONSISTENT"}
    assert any("somebody else changed" in note for note in meta["notes"])


# ---- places that are not given up ----------------------------------------------------------------------------


def test_an_older_trace_under_the_default_name_gives_way_and_one_line_says_so(bench: Bench) -> None:
    first = bench.observer("run", "-q", "--", "./touches")
    assert (first.returncode, first.stderr) == (5, "")
    again = bench.observer("run", "-q", "--", "./touches")
    assert (again.returncode, again.stderr) == (5, "observer: touches.trace replaces the trace of an earlier run\n")
    assert bench.names() == {"touches.trace"}
    named = bench.observer("run", "-q", "-o", "touches.trace", "--", "./touches")
    assert (named.returncode, named.stdout) == (125, "")
    assert "--force" in named.stderr
    forced = bench.observer("run", "-q", "--force", "-o", "touches.trace", "--", "./touches")
    assert forced.returncode == 5
    assert bench.names() == {"touches.trace"}


def foreign(folder: Path, kind: str) -> None:
    """Make at *folder* what is no trace."""
    if kind == "file":
        folder.write_text("mine")
    elif kind == "dangling link":
        folder.symlink_to("nowhere")
    else:
        folder.mkdir()
    if kind == "meta.json of another program":
        (folder / "meta.json").write_text('{"schema": 1}')
    elif kind == "one file more":
        (folder / "meta.json").write_text('{"schema": 1, "machine": {}, "request": {}, "outcome": {}}')
        (folder / "thesis.tex").write_text("mine")
    elif kind == "folder within":
        (folder / "meta.json").write_text('{"schema": 1, "machine": {}, "request": {}, "outcome": {}}')
        (folder / "spool").mkdir()
        (folder / "spool" / "more").mkdir()


@pytest.mark.parametrize("options", [[], ["--force"], ["--force", "-o", "touches.trace"]], ids=["", "force", "-o"])
@pytest.mark.parametrize(
    "kind",
    ["file", "dangling link", "empty", "meta.json of another program", "one file more", "folder within"],
)  # fmt: skip
def test_what_is_no_trace_is_never_replaced(kind: str, options: list[str], bench: Bench) -> None:
    place = bench.folder / "touches.trace"
    foreign(place, kind)
    before = sorted(path.relative_to(place) for path in place.rglob("*"))
    done = bench.observer("run", "-q", *options, "--", "./touches")
    assert (done.returncode, done.stdout) == (125, "")
    assert is_one_complaint(done.stderr)
    assert sorted(path.relative_to(place) for path in place.rglob("*")) == before
    assert os.path.lexists(place)
    assert bench.names() == {"touches.trace"}


def test_an_older_trace_comes_back_when_nothing_could_be_recorded(bench: Bench) -> None:
    assert bench.observer("run", "-q", "--", "./touches").returncode == 5
    before = (bench.folder / "touches.trace" / "meta.json").read_bytes()
    done = bench.observer("run", "-q", "--", "./touches", limits="ulimit -n 10")
    assert done.returncode == 125
    assert (bench.folder / "touches.trace" / "meta.json").read_bytes() == before
    assert bench.names() == {"touches.trace"}


def test_an_empty_name_is_no_name(bench: Bench) -> None:
    done = bench.observer("run", "-q", "-o", "", "--", "./touches")
    assert (done.returncode, done.stdout) == (125, "")
    assert is_one_complaint(done.stderr)
    assert bench.names() == set()


def test_names_of_any_bytes_work_throughout(bench: Bench) -> None:
    name = os.fsdecode(b"o\xffdd\x1b[31m")
    shutil.copy(bench.folder / "touches", bench.folder / name)
    assert bench.observer("run", "-q", "--", f"./{name}").returncode == 5
    trace = f"{name}.trace"
    shown = bench.observer("show", trace)
    assert shown.returncode == 0, shown.stderr
    assert "\x1b" not in shown.stdout + shown.stderr
    assert "touches.c:" in shown.stdout
    for form in ("jsonl", "workload"):
        assert bench.observer("export", trace, "--to", form, "-o", "out").returncode == 0
    missing = bench.observer("show", f"{trace}s")
    assert missing.returncode == 125
    assert is_one_complaint(missing.stderr)
    told = bench.observer("run", "--", f"./{name}")
    assert told.returncode == 5
    assert "\x1b" not in told.stderr


# ---- little of everything ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kilobytes", [24, 60, 150, 400, 1200, 3600])
def test_a_disk_that_fills_stops_nobody(kilobytes: int, bench: Bench) -> None:
    (bench.folder / "disk").mkdir()
    with small_disk(bench.folder / "disk", kilobytes) as grow:
        done = bench.observer("run", "-q", "-o", "disk/t.trace", "--", "./touches")
        if (bench.folder / "disk" / "t.trace").exists():
            assert done.stdout == "went on\n"
        assert done.returncode in (5, 125)
        # Where there was room for the tables of what could be recorded, the ledger says what is missing; where it was
        # seen in time that there would be none, nothing is.
        is_told = "verdict: INCOMPLETE" in done.stderr if done.returncode == 125 else done.stderr == ""
        assert is_told or (is_one_complaint(done.stderr) and "No space left on device" in done.stderr)
        bench.assert_unharmed()
        grow()
        if (bench.folder / "disk" / "t.trace").exists():
            shown = bench.observer("show", "--ledger", "disk/t.trace")
            assert shown.returncode == 0, shown.stderr
            assert "verdict: INCOMPLETE" in shown.stdout or "verdict: COMPLETE" in shown.stdout


@pytest.mark.parametrize("limit", ["-n 6", "-n 10", "-n 14", "-n 18", "-n 22", "-v 60000", "-v 300000", "-v 1000000"])
def test_a_low_limit_is_one_line_or_enough(limit: str, bench: Bench) -> None:
    done = bench.observer("run", "-q", "-o", "t.trace", "--", "./touches", limits=f"ulimit {limit}")
    bench.assert_unharmed()
    if done.returncode == 5:  # it was enough
        assert (done.stdout, done.stderr, bench.names()) == ("went on\n", "", {"t.trace"})
        return
    assert done.returncode == 125, done.stderr
    assert is_one_complaint(done.stderr), done.stderr
    assert bench.names() == set()


def test_a_story_for_which_there_is_no_room_costs_no_status(bench: Bench) -> None:
    with open("/dev/full", "w") as full:
        done = bench.observer("run", "-o", "t.trace", "--", "./touches", stderr=full)
    assert (done.returncode, done.stdout) == (5, "went on\n")
    assert bench.observer("show", "--ledger", "t.trace").returncode == 0


# ---- ended before it was finished ----------------------------------------------------------------------------


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.005)
    raise AssertionError("it did not come to that")


def test_a_killed_observer_leaves_what_was_written_and_says_what_was_not(bench: Bench) -> None:
    command = bench.command("run", "-q", "-o", "t.trace", "--", "./waits")
    with subprocess.Popen(command, cwd=bench.folder, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        running.kill()
    shown = bench.observer("show", "--json", "--kind", "call", "t.trace")
    assert shown.stdout.count('"op":"malloc"') >= 50
    meta = json.loads((bench.folder / "t.trace" / "meta.json").read_text())
    (samples,) = [line for line in meta["ledger"] if line["identity"].startswith("fault samples")]
    assert (samples["verdict"], samples["expected"]) == ("INCOMPLETE", None)
    assert "lost" in samples["note"]
    assert meta["outcome"]["ended"] == "cut off"
    bench.assert_unharmed()


def is_recorded(trace: Path) -> bool:
    with contextlib.suppress(OSError):
        return (trace / "spool" / "recording.json").read_bytes().startswith(b"{")
    return False


@pytest.mark.parametrize("moment", ["finishing", "telling"])
def test_an_interrupt_after_the_program_has_ended_loses_neither_its_status_nor_its_trace(
    moment: str, bench: Bench
) -> None:
    trace = bench.folder / "t.trace"
    command = bench.command("run", "-o", "t.trace", "--", "./touches")
    with subprocess.Popen(
        command, cwd=bench.folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        wait_for(lambda: is_recorded(trace) if moment == "finishing" else (trace / "lost.parquet").exists())
        os.killpg(running.pid, signal.SIGINT)
        error = running.communicate()[1]
    assert running.returncode == (125 if "before t.trace was finished" in error else 5), error
    assert "Traceback" not in error
    shown = bench.observer("show", "--ledger", "t.trace")
    assert shown.returncode == 0
    assert "INCOMPLETE" not in shown.stdout
    assert json.loads((trace / "meta.json").read_text())["outcome"]["status"] == 5
