"""`observer compare` on real runs: packaged workloads, programs, recorded folders, experiments, questions, bad targets.

The packaged workloads have a second witness, without the observer: the interpreter run alone reports page faults by
getrusage, and the paging model, driven here, must predict the same at the addresses that were reported. That is asked of
accesses to mappings and to the stack; in pieces from malloc some pages are brought in by the allocator itself.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from observer.compare.report_lines import Done, Report, read_report
from observer.model.addresses import PAGE, page_up
from observer.model.chapter import CONCEPTS
from observer.simulator import packaged
from observer.simulator.machine import BookMachine
from observer.simulator.paging import Memory, SegmentationFault
from observer.simulator.workload import Operation, parse, parse_line, render
from observer.trace.reader import Trace
from observer.tracee import interpreter
from tests.conftest import needs_fault_events
from tests.ordinary import NO_HOME, PYTHON
from tests.recordings import OBSERVER, ORDINARY, Recorded, environment_of_commands

NAMES: Final = packaged.names()
_MAPS: Final = {"map": "anonymous", "populate": "anonymous", "shared": "shared", "file": "file"}
_ACCESS: Final = {"noaccess": "none", "readonly": "read", "writable": "write"}
_USAGE: Final = 2
_NOT_FOUND: Final = 127
_TITLE_AT_MOST: Final = 72
_ALLOCATOR_OF_MAPPINGS: Final = r"""
#define _GNU_SOURCE
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

/* Every piece begins in the second page of a mapping of its own, and is never given back. */
void *malloc(size_t size)
{
    char *place = mmap(NULL, (size + 3 * 4096) & -4096ul, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == MAP_FAILED ? NULL : place + 5008;
}
void free(void *pointer) { (void)pointer; }
void *calloc(size_t count, size_t size) { return malloc(count * size); }
void *realloc(void *pointer, size_t size)
{
    void *other = malloc(size);
    if (pointer != NULL && other != NULL)
        memcpy(other, pointer, size);
    return other;
}
"""


@dataclass(frozen=True)
class Finished:
    """A finished `observer compare`: its exit status and what it printed."""

    status: int
    stdout: str
    stderr: str

    @property
    def result(self) -> dict[str, Any]:
        assert self.stderr == "", self.stderr
        found: dict[str, Any] = json.loads(self.stdout)
        return found

    @property
    def rules(self) -> Counter[str]:
        return Counter(each["rule"] for each in self.result["differences"])

    def assert_explained(self) -> None:
        """Nothing is left without a rule, and the program faulted as often as the model says."""
        result = self.result
        assert [each for each in result["differences"] if each["rule"] is None] == []
        assert result["unexplained"] == 0
        assert self.status == 0
        program = result["faults"]["program"]
        assert program["observed"] == program["predicted"] == program["agree"]


Compare = Callable[..., Finished]


@pytest.fixture(scope="session", autouse=True)
def compiled(build: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Compile the interpreter once, into a cache of the tests' own; *build* skips where there is no compiler."""
    cache = tmp_path_factory.mktemp("cache")
    for place in (cache, *list(cache.parents)[:2]):
        place.chmod(place.stat().st_mode | 0o055)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(cache))
        yield interpreter.build(cache)


@pytest.fixture
def compare(tmp_path: Path) -> Compare:
    """Return a function that runs `observer compare WORDS`, and sees that it leaves no file and no process behind."""
    scratch = tmp_path / "temporary"
    scratch.mkdir()

    def run(*words: str, answers: str | bytes = b"", cwd: Path | None = None, **environment: str) -> Finished:
        given = answers if isinstance(answers, bytes) else answers.encode()
        done = subprocess.run(
            [*OBSERVER, "compare", *words], input=given, capture_output=True, timeout=100, cwd=cwd or tmp_path,
            env={**environment_of_commands(), "TMPDIR": str(scratch), **environment},
        )  # fmt: skip
        assert list(scratch.iterdir()) == []
        assert _processes_with(f"TMPDIR={scratch}") == []
        return Finished(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))

    return run


def _processes_with(variable: str) -> list[str]:
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            words = place.read_bytes().split(b"\0")
        except OSError:
            continue  # gone meanwhile, or another user's
        if variable.encode() in words:
            found.append(place.parent.name)
    return found


def _operations(name: str) -> list[Operation]:
    with packaged.path(name).open("rb") as file:
        return list(parse(file))


def _has_no_traceback(done: Finished) -> None:
    assert "Traceback" not in done.stdout + done.stderr


# ---- the packaged workloads ---------------------------------------------------------------------------------


def test_there_are_as_many_workloads_as_behaviours() -> None:
    assert len(NAMES) == 46
    assert list(NAMES) == sorted(NAMES)


def test_every_concept_of_the_chapter_is_shown_by_a_workload() -> None:
    shown = {concept for name in NAMES for concept in packaged.header(name).concepts}
    assert shown == set(CONCEPTS)


@pytest.mark.parametrize("name", NAMES)
def test_a_header_says_what_to_look_at(name: str) -> None:
    lines = packaged.path(name).read_text().splitlines()
    header = packaged.header(name)
    assert lines[0] == f"# title: {header.title}"
    assert lines[1] == f"# concepts: {' '.join(header.concepts)}"
    text = [line for line in lines[2:6] if line.startswith("# ")]
    assert " ".join(line[2:] for line in text) == header.text
    assert 1 <= len(text) <= 4
    assert 0 < len(header.title) <= _TITLE_AT_MOST
    assert header.concepts
    assert len(set(header.concepts)) == len(header.concepts)
    assert max(map(len, lines)) <= 125


@pytest.mark.parametrize("name", NAMES)
def test_operations_rendered_and_parsed_are_the_same(name: str) -> None:
    operations = _operations(name)
    assert 5 <= len(operations) <= 60
    again = list(map(parse_line, render(operations).splitlines()))
    assert [(each.kind, each.name, each.numbers) for each in again if each] == [
        (each.kind, each.name, each.numbers) for each in operations
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_book_machine_runs_it(name: str) -> None:
    machine = BookMachine(source=name)
    assert list(machine.run(_operations(name)))
    assert machine.totals.operations or machine.totals.calls or machine.totals.faults_program


_SHOWS: Final = {
    "calloc": "calloc", "coalescing": "tcache", "doubling_buffer": "realloc", "file_read": "fault-around",
    "file_write": "copy-on-write", "fits": "bins", "fork_child_writes": "copy-on-write",
    "fork_last_owner": "copy-on-write", "mmap_threshold": "mmap-threshold", "nested_forks": "copy-on-write",
    "never_touched": "mmap-threshold", "queue_and_stack": "trim", "read_then_write": "zero-page",
    "realloc_in_place": "realloc", "refused": "limit", "six_steps": "top-pad", "size_bins": "bins",
    "thread_cache": "tcache", "top_pad": "top-pad", "trim": "trim",
}  # fmt: skip
"""The rule that a workload is there to show; fast bins and huge pages are not on every machine."""


@pytest.mark.parametrize("name", NAMES)
def test_every_difference_of_a_packaged_workload_is_explained(name: str, compare: Compare) -> None:
    done = compare("--json", name)
    done.assert_explained()
    assert name not in _SHOWS or done.rules[_SHOWS[name]] > 0


# ---- the second witness -------------------------------------------------------------------------------------


@dataclass
class _Process:
    memory: Memory
    pieces: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Of mappings and of the stack: address and length in whole pages."""


class _Witness:
    """Drives the paging model through a report, operation by operation; heaps and pieces in them are left out."""

    def __init__(self, operations: Sequence[Operation], report: Report) -> None:
        self._operations, self._report = operations, report
        self._processes = [_Process(Memory(thp=_huge_pages()))]
        self.counts: list[tuple[int, str, int, int]] = []
        """Line, operation, observed faults, predicted ones."""
        self.died: list[int] = []

    @property
    def _now(self) -> _Process:
        return self._processes[-1]

    def run(self) -> _Witness:
        for done in self._report.operations:
            del self._processes[done.depth + 1 :]  # children that died have no exit
            self._one(self._operations[done.index], done)
        if self._report.died is not None:
            self._dies(self._operations[self._report.died])
        return self

    def _one(self, operation: Operation, done: Done) -> None:
        if done.died:
            self._dies(operation)
        elif operation.kind == "fork":
            now = self._now
            self._processes.append(_Process(now.memory.fork(), dict(now.pieces)))
        elif operation.kind == "exit":
            if len(self._processes) > done.depth:
                self._processes.pop().memory.end()
        elif operation.kind in _MAPS or operation.kind == "stack":
            self._map(operation, done)
        elif operation.name in self._now.pieces:
            self._use(operation, done)

    def _map(self, operation: Operation, done: Done) -> None:
        memory, length = self._now.memory, page_up(operation.numbers[0])
        if not done.address:
            return
        self._now.pieces[operation.name] = done.address, length
        if operation.kind == "stack":
            if not memory.is_mapped(done.address + length):
                memory.map(done.address + length, PAGE, "stack")
            return
        memory.map(done.address, length, _MAPS[operation.kind])
        if operation.kind == "populate":
            memory.populate(done.address, length)

    def _use(self, operation: Operation, done: Done) -> None:
        memory, kind = self._now.memory, operation.kind
        start, length = self._now.pieces[operation.name]
        if kind in ("touch", "read"):
            predicted = len(self._access(operation))
            self.counts.append((done.line, kind, done.faults, predicted))
        elif done.errno:
            return
        elif kind in _ACCESS:
            memory.protect(start, length, _ACCESS[kind])
        elif kind in ("hugepage", "nohugepage"):
            memory.advise_huge(start, length, kind == "hugepage")
        else:
            {
                "unmap": memory.unmap, "lock": memory.lock, "unlock": memory.unlock, "dontneed": memory.drop,
                "lazyfree": memory.lazy_free,
            }[kind](start, length)  # fmt: skip

    def _access(self, operation: Operation) -> Sequence[object]:
        start, _length = self._now.pieces[operation.name]
        offset = operation.numbers[0] if operation.numbers else 0
        length = operation.numbers[1] if len(operation.numbers) > 1 else 1
        memory = self._now.memory
        return (memory.write if operation.kind == "touch" else memory.read)(start + offset, length)

    def _dies(self, operation: Operation) -> None:
        with pytest.raises(SegmentationFault):
            self._access(operation)
        self.died.append(operation.line)


def _huge_pages() -> str:
    place = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    return place.read_text().partition("[")[2].partition("]")[0] if place.exists() else "never"


def _run_alone(program: Path, name: str, folder: Path) -> Report:
    report = folder / "report"
    words = [str(program), "-o", str(report), str(packaged.path(name))]
    done = subprocess.run(words, capture_output=True, timeout=60, env={**os.environ, "TMPDIR": str(folder)})
    found = read_report(report.read_text())
    assert done.returncode == (0 if found.died is None else -signal.SIGSEGV), done.stderr
    return found


_MAPPED: Final = [name for name in NAMES if any(each.kind in {*_MAPS, "stack"} for each in _operations(name))]
_DIE: Final = {"crash_readonly": [9], "crash_unmapped": [9], "protection": [9], "child_dies": [10]}


@pytest.mark.parametrize("name", _MAPPED)
def test_getrusage_counts_the_faults_that_the_paging_model_predicts(name: str, compiled: Path, tmp_path: Path) -> None:
    witness = _Witness(_operations(name), _run_alone(compiled, name, tmp_path)).run()
    assert witness.counts
    assert [each for each in witness.counts if each[2] != each[3]] == []
    assert witness.died == _DIE.get(name, [])


# ---- experiments --------------------------------------------------------------------------------------------

_THP = pytest.mark.skipif(_huge_pages() == "never", reason="this machine has no transparent huge pages")


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("thread_cache", "tcache"), ("mmap_threshold", "mmap-threshold"), ("top_pad", "top-pad"), ("trim", "trim"),
        pytest.param("huge_page", "huge-pages", marks=_THP),
    ],
)  # fmt: skip
def test_differences_vanish_when_their_mechanism_is_switched_off(name: str, rule: str, compare: Compare) -> None:
    done = compare("--json", "--confirm", name)
    done.assert_explained()
    verdicts = [each["confirmed"] for each in done.result["differences"] if each["rule"] == rule]
    assert verdicts
    assert set(verdicts) == {True}


def test_without_an_experiment_nothing_is_confirmed(compare: Compare) -> None:
    assert {each["confirmed"] for each in compare("--json", "top_pad").result["differences"]} == {None}


def test_best_fit_is_nearer_to_the_real_allocator_than_first_fit(compare: Compare) -> None:
    served = {
        fit: compare("--json", "--fit", fit, "fits").result["calls"]["agree"] for fit in ("first", "best", "next")
    }
    assert served["best"] > served["next"] > served["first"]


# ---- questions ----------------------------------------------------------------------------------------------

_ASKED: Final = "malloc a 100\nmalloc b 100\nmap m 20K\ntouch m 0 20K\n"
"""Three questions: yes, the heap must be made; no; five pages."""


@pytest.mark.parametrize(
    ("answers", "tally", "asked"),
    [
        ("y\nn\n5\n", "3 of 3", 3), ("yes\nNO\n4\n", "2 of 3", 3), ("n\ny\n7\n", "0 of 3", 3), ("\nn\n5\n", "2 of 2", 3),
        ("\n\n\n", "0 of 0", 3), ("y\nq\nn\n5\n", "1 of 1", 2), ("q\n", "0 of 0", 1), ("y\n", "1 of 1", 2),
        ("", "0 of 0", 1), ("perhaps\nn\n-5\n", "0 of 1", 4), ("perhaps\ny\n5\nn\n-5\n5\n", "3 of 3", 6),
    ],
)  # fmt: skip
def test_answers_are_counted(answers: str, tally: str, asked: int, compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "asked").write_text(_ASKED)
    done = compare("--ask", "asked", answers=answers)
    assert done.status == 0, done.stderr
    assert f"  {tally} predicted rightly\n" in done.stdout
    assert done.stdout.partition("predicted rightly")[0].count("> ") == asked


def test_as_many_questions_as_wanted_are_asked(compare: Compare) -> None:
    done = compare("--ask", "--questions", "4", "kernel_or_not", answers="\n" * 20)
    assert done.stdout.partition("predicted rightly")[0].count("> ") == 4


# ---- programs and recorded runs -----------------------------------------------------------------------------


def test_a_program_and_its_kept_trace_compare_alike(
    compare: Compare, sample: Callable[[str], str], tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    run = compare("--json", "-o", str(kept), "--", sample("story"))
    assert run.status == 0
    result = json.loads(run.stdout)
    assert result["unexplained"] == 0
    program = result["faults"]["program"]
    assert program["observed"] == program["predicted"] == program["agree"] > 0
    assert Trace.open(kept).meta.outcome.status == 0
    again = compare("--json", str(kept))
    again.assert_explained()
    assert again.result == result


@needs_fault_events  # the write behind a read brings in no page that was not there
def test_a_run_recorded_earlier_is_compared(
    compare: Compare, sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    earlier = recorded(sample("zero_page"), options=("-q",))
    done = compare("--json", str(earlier.directory))
    done.assert_explained()
    assert done.rules["zero-page"] > 0


def test_a_workload_keeps_its_trace_too(compare: Compare, tmp_path: Path) -> None:
    first = compare("-o", "kept", "six_steps")
    assert first.status == 0
    assert len([call for call in _events(tmp_path / "kept") if call.startswith("Call")]) == 4
    second = compare("-o", "kept", "six_steps")
    assert second.status not in (0, 1)
    assert "kept" in second.stderr
    _has_no_traceback(second)


def _events(directory: Path) -> list[str]:
    return [type(event).__name__ for event in Trace.open(directory).events()]


def test_a_program_with_an_allocator_that_no_rule_knows_is_named(
    compare: Compare, sample: Callable[[str], str], tmp_path: Path
) -> None:
    (tmp_path / "own.c").write_text(_ALLOCATOR_OF_MAPPINGS)
    words = ["gcc", "-O1", "-fno-builtin", "-shared", "-fPIC", "-o", "own.so", "own.c"]
    subprocess.run(words, check=True, cwd=tmp_path)
    program = ["env", f"LD_PRELOAD={tmp_path / 'own.so'}", sample("story")]
    done = compare("--json", "--", *program)
    assert done.status == 0
    result = json.loads(done.stdout)
    assert not result["agree"]
    assert result["unexplained"] == 0
    rules = Counter(each["rule"] for each in result["differences"] if each["what"] == "served")
    assert rules["other-allocator"] > 20
    told = compare("--", *program)
    assert told.status == 0
    assert "own.so" in told.stdout
    assert "unexplained: 0" in told.stdout


def test_a_workload_may_come_from_standard_input(compare: Compare) -> None:
    done = compare("--json", "-", answers="malloc a 10007\ntouch a 0 10007\n")
    done.assert_explained()
    assert done.result["calls"]["total"] == 1


# ---- an ordinary user ---------------------------------------------------------------------------------------


@pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")
@pytest.mark.parametrize("name", ["six_steps", "lock", "fork_last_owner"])
def test_an_ordinary_user_may_compare_a_workload(name: str, compiled: Path) -> None:
    assert PYTHON is not None
    python, path = PYTHON
    prefix = ORDINARY if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as scratch:
        Path(scratch).chmod(0o777)
        variables = [f"PYTHONPATH={path}", NO_HOME, f"XDG_CACHE_HOME={scratch}", f"TMPDIR={scratch}"]
        done = subprocess.run(
            [*prefix, "env", *variables, python, "-m", "observer", "compare", "--json", name], capture_output=True,
            text=True, stdin=subprocess.DEVNULL, timeout=100, cwd="/",
        )  # fmt: skip
        assert [place.name for place in Path(scratch).iterdir()] == ["malloc-observer"]
    Finished(done.returncode, done.stdout, done.stderr).assert_explained()


# ---- targets that cannot be compared ------------------------------------------------------------------------

_WRONG: Final = {
    "double free": ("malloc a 10\nfree a\nfree a\n", "line 3"),
    "free of what malloc never gave": ("map m 4K\nfree m\n", "line 2"),
    "use after free": ("malloc a 10\nfree a\ntouch a\n", "line 3"),
    "outside": ("malloc a 10\n\ntouch a 10\n", "line 3"),
    "refused and used": ("malloc a 4096\nmalloc b 102400G\ntouch b\n", "line 3"),
    "in use": ("malloc a 10\nmalloc a 20\n", "line 2"),
    "larger than any number": ("malloc a 1\nmalloc b 99999999999999999999\n", "line 2, column 10"),
    "no number": ("malloc a -1\n", "line 1, column 10"),
    "no operation": ("malloc a 1\n# right so far\nmaloc b 1\n", "line 3, column 1"),
    "too few words": ("malloc a\n", "line 1"),
    "too many words": ("free a b c\n", "line 1"),
    "no alignment": ("memalign a 3 100\n", "line 1"),
    "no mapping": ("map m 0\n", "line 1"),
    "no child": ("malloc a 1\nexit\n", "line 2"),
    "nothing": ("", "no operations"),
    "comments alone": ("# title: nothing\n\n", "no operations"),
}


@pytest.mark.parametrize("what", _WRONG)
def test_a_wrong_workload_is_refused_with_its_line(what: str, compare: Compare, tmp_path: Path) -> None:
    text, told = _WRONG[what]
    (tmp_path / "wrong").write_text(text)
    _refused(compare("wrong"), told)


def _refused(done: Finished, told: str, status: int = _USAGE) -> None:
    assert done.status == status
    assert done.stdout == ""
    assert done.stderr.startswith("observer: ")
    assert told in done.stderr
    assert done.stderr.count("\n") <= 2
    assert len(done.stderr) < 1000
    _has_no_traceback(done)


def test_junk_and_endless_lines_are_refused_with_their_line(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "junk").write_bytes(b"malloc a 1\n" + bytes(range(128, 256)) * 1000)
    _refused(compare("junk"), "line 2")
    with (tmp_path / "endless").open("wb") as file:
        file.write(b"malloc a 1\n")
        for _ in range(100):
            file.write(b"a" * 1_000_000)
    _refused(compare("endless"), "line 2")
    _refused(compare("-", answers=b"\0" * 10007), "line 1")


def test_what_is_not_there_and_folders_without_a_trace_are_refused(compare: Compare, tmp_path: Path) -> None:
    _refused(compare("nothing.workload"), "nothing.workload", _NOT_FOUND)
    _refused(compare("./nothing.workload"), "nothing.workload", _NOT_FOUND)
    _refused(compare(str(tmp_path)), str(tmp_path))
    _refused(compare(), "nothing to compare")


@pytest.mark.parametrize(
    "text",
    [
        "malloc a 102400G\nfree a\nmalloc b 100\ntouch b\nfree b\n",
        "malloc a 9223372036854775807\nfree a\nmalloc b 100\n",
        "calloc a 4294967296 2147483647\nfree a\nmemalign b 64 9223372036854770000\nfree b\n",
        "map m 102400G\nmap n 4K\ntouch n\n",
    ],
)
def test_absurd_sizes_are_refused_by_the_machine_and_compared(text: str, compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "absurd").write_text(text)
    compare("--json", "absurd").assert_explained()
