"""What is compared, recorded: with which words, environment and streams."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from observer.instruments.session import Wish
from observer.model.departures import COMPARED
from observer.model.machine import Meta
from observer.model.selection import Selection
from observer.runs import target
from observer.runs.target import Target, record_target
from observer.runs.workloads import Interpreted
from tests.builders import meta, request

NULL = os.stat(os.devnull)


class Recorder:
    """Stands where the recording would, and looks at the streams that a program would find."""

    def __init__(self) -> None:
        self.wishes: list[Wish] = []
        self.directories: list[Path] = []
        self.streams: list[os.stat_result] = []

    def __call__(self, wish: Wish, directory: Path) -> Meta:
        self.wishes.append(wish)
        self.directories.append(directory)
        self.streams = [os.fstat(number) for number in range(3)]
        return meta()


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    monkeypatch.setattr(target, "record_run", made)
    monkeypatch.setenv("GLIBC_TUNABLES", "glibc.malloc.perturb=7:glibc.malloc.top_pad=8192")
    return made


def test_a_program_is_run_as_it_is_with_all_memory_calls(recorder: Recorder) -> None:
    record_target(Target(("ls", "-l")), Path("t"), Path("report"))
    (wish,) = recorder.wishes
    assert (wish.argv, wish.selection, wish.huge_pages) == (("ls", "-l"), Selection(), True)
    assert wish.environment == dict(os.environ)
    assert recorder.directories == [Path("t")]


def test_a_workload_is_run_by_its_interpreter_which_reports(recorder: Recorder) -> None:
    workload = Interpreted("/cache/workload", Path("/w/six_steps"), ())
    record_target(Target(workload=workload), Path("t"), Path("/s/report"))
    assert recorder.wishes[0].argv == ("/cache/workload", "-o", "/s/report", "/w/six_steps")


def test_a_recorded_run_is_made_again_in_its_own_environment(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorded:
        meta = meta(request=request("./story", "3", environment={"LD_PRELOAD": "x.so"}))

        @classmethod
        def open(cls, directory: Path) -> Recorded:
            assert directory == Path("story.trace")
            return cls()

    monkeypatch.setattr(target, "Trace", Recorded)
    record_target(Target(trace=Path("story.trace")), Path("t"), Path("report"))
    assert recorder.wishes[0].argv == ("./story", "3")
    assert recorder.wishes[0].environment == {**os.environ, "LD_PRELOAD": "x.so"}


def test_a_departures_switch_replaces_the_setting_of_its_name_alone(recorder: Recorder) -> None:
    record_target(Target(("ls",)), Path("t"), Path("report"), COMPARED["top-pad"])
    told = recorder.wishes[0].environment["GLIBC_TUNABLES"]
    assert told == "glibc.malloc.perturb=7:glibc.malloc.top_pad=0"
    assert recorder.wishes[0].huge_pages


def test_huge_pages_are_switched_off_without_a_tunable(recorder: Recorder) -> None:
    departure = next(each for each in COMPARED.values() if each.thp_off)
    record_target(Target(("ls",)), Path("t"), Path("report"), departure)
    assert not recorder.wishes[0].huge_pages
    assert recorder.wishes[0].environment == dict(os.environ)


@pytest.fixture
def input_file(tmp_path: Path) -> Iterator[Path]:
    """Have a file as standard input."""
    path, kept = tmp_path / "input", os.dup(0)
    path.touch()
    given = os.open(path, os.O_RDONLY)
    os.dup2(given, 0)
    yield path
    os.dup2(kept, 0)
    os.close(given)
    os.close(kept)


@pytest.mark.parametrize("rule", [None, "top-pad"])
def test_the_program_reads_nothing_and_writes_no_line_of_ours(
    recorder: Recorder, input_file: Path, rule: str | None
) -> None:
    before = [os.fstat(number) for number in range(3)]
    record_target(Target(("ls",)), Path("t"), Path("report"), COMPARED[rule] if rule else None)
    found = [os.path.samestat(stream, NULL) for stream in recorder.streams]
    if rule:
        assert found == [True, True, True]
    else:
        assert found[0]
        assert all(os.path.samestat(stream, before[2]) for stream in recorder.streams[1:])
    assert os.path.samestat(before[0], input_file.stat())
    after = [os.fstat(number) for number in range(3)]
    assert all(os.path.samestat(one, other) for one, other in zip(before, after, strict=True))
