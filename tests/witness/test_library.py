"""The program's calls into its libraries and the vDSO's answers, beside ltrace, strace and what the samples say."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from observer.model.events import Call, Library, Syscall
from tests.conftest import needs
from tests.recordings import Recorded, environment_of_commands, run_observer
from tests.witness.straced import strace_run

ALL = ("-q", "-e", "trace=all,library")
WRITES = {"full": 3, "line": 100, "none": 10_000}


def library(run: Recorded, source: str) -> list[Library]:
    """The calls made by the lines of *source*."""
    return [
        event
        for event in run.events
        if isinstance(event, Library) and event.site is not None and (event.site.file or "").endswith(f"/{source}")
    ]


@needs("strace")
@pytest.mark.parametrize("mode", WRITES)
def test_ten_thousand_putc_make_as_many_writes_as_the_buffer_says(
    mode: str, sample: Callable[[str], str], tmp_path: Path
) -> None:
    command = [sample("buffering"), mode]
    run = run_observer(command, tmp_path / "trace", options=ALL)
    run.assert_balanced()
    puts = [event for event in library(run, "buffering.c") if event.function == "putc"]
    assert len(puts) == int(run.facts["putc_calls"]) == 10_000
    numbers = {event.n for event in puts}
    inside = Counter(event.name for event in run.syscalls if event.within in numbers)
    closing = {event.n for event in library(run, "buffering.c") if event.function == "fclose"}
    flushed = sum(event.name == "write" for event in run.syscalls if event.within in closing)
    assert inside["write"] + flushed == WRITES[mode]
    seen = strace_run(command, options=("-e", "trace=write"))
    assert len(seen.calls) == WRITES[mode] + 1  # and the facts
    writing = {event.within for event in run.syscalls if event.name == "write" and event.within in numbers}
    assert len(writing) == inside["write"]
    assert writing <= {event.n for event in puts if event.crossings}


@needs("ltrace")
@pytest.mark.parametrize("name", ["library", "buffering", "vdso_time", "files"])
def test_library_calls_are_those_that_ltrace_counts(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    program = sample(name)
    arguments = ["line"] if name == "buffering" else []
    log = tmp_path / "ltrace.txt"
    subprocess.run(
        ["ltrace", "-o", str(log), program, *arguments], stdin=subprocess.DEVNULL, capture_output=True, check=True,
        env=environment_of_commands(),
    )  # fmt: skip
    counted = Counter(re.findall(r"^(\w+)\(", log.read_text(errors="replace"), re.MULTILINE))
    run = run_observer([program, *arguments], tmp_path / "trace", options=ALL)
    seen = Counter(event.function for event in run.events if isinstance(event, Library) and event.module is None)
    seen += Counter(event.op for event in run.events if isinstance(event, Call) and event.origin == "program")
    assert counted, "ltrace saw nothing: the comparison would prove nothing"
    # What starts and ends the program is called by code without lines.
    assert {each: count for each, count in counted.items() if each not in ("__libc_start_main",)} == seen


@needs("strace")
@pytest.mark.parametrize("end", ["", "-static", "-musl", "-musl-static", "-i386", "-i386-static"])
def test_questions_of_time_are_answered_without_a_system_call(
    end: str, variant: Callable[[str], str], sample: Callable[[str], str], tmp_path: Path
) -> None:
    program = variant(f"vdso_time{end}") if end else sample("vdso_time")
    run = run_observer([program], tmp_path / "trace", options=ALL)
    run.assert_balanced()
    answers = [event for event in run.events if isinstance(event, Library) and event.module == "[vdso]"]
    if run.facts["has_vdso"] == "0":
        pytest.skip("this kernel gives no vDSO")
    assert len(answers) >= int(run.facts["vdso_calls"]) == 1_000
    assert sum(bool(event.crossings) for event in answers) == 0
    asked = [event for event in run.syscalls if event.name.startswith(("clock_gettime", "gettimeofday", "time"))]
    by_strace = strace_run([program], options=("-e", "trace=clock_gettime,clock_gettime64,gettimeofday,time"))
    assert len(asked) == len(by_strace.calls) == int(run.facts["real_calls"]) == 10


@needs("strace")
@pytest.mark.parametrize("end", ["", "-static", "-musl", "-musl-static", "-i386", "-i386-static"])
def test_every_system_call_of_a_line_belongs_to_the_library_call_on_it(
    end: str, variant: Callable[[str], str], sample: Callable[[str], str], tmp_path: Path
) -> None:
    program = variant(f"library{end}") if end else sample("library")
    run = run_observer([program], tmp_path / "trace", options=ALL)
    run.assert_balanced()
    by_number = {event.n: event for event in run.events if isinstance(event, Library | Call)}
    for event in run.syscalls:
        owner = by_number.get(event.within or -1) or by_number.get(event.cause or -1)
        if owner is not None:
            assert owner.site == event.site
    lines = {name.removeprefix("line_"): int(value) for name, value in run.facts.items() if name.startswith("line_")}
    on = {name: calls_on(run, line) for name, line in lines.items()}
    assert on["mkdir"] == ["mkdir"]
    assert on["strlen"] == on["getenv"] == on["inet_pton"] == []
    assert on["malloc_large"] in (["mmap"], ["mmap2"])
    assert on["free_large"] == ["munmap"]
    assert on["fopen_write"][-1 if "musl" not in end else 0].startswith("open")
    assert on["close"] == ["close"]
    total = Counter(name_as_strace_has_it(event) for event in run.syscalls)
    wanted = Counter(call.name for call in strace_run([program]).calls)
    wanted.pop("execve", None)
    assert total == wanted


def name_as_strace_has_it(event: Syscall) -> str:
    """socketcall(2) is told by strace under the name of what it does."""
    if event.name != "socketcall" or event.decoded is None:
        return event.name
    return event.decoded[0].removeprefix("SYS_").lower()


def calls_on(run: Recorded, line: int) -> list[str]:
    """The system calls that belong to a line of library.c."""
    return [
        event.name
        for event in run.events
        if isinstance(event, Syscall) and event.site is not None and event.site.line == line
        and (event.site.file or "").endswith("/library.c")
    ]  # fmt: skip
