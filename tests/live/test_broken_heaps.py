"""Programs of `broken_heaps/`: each breaks malloc's heap in one well-known way, or only looks as if it did.

What a program says of itself at its top is checked first: by its own end and proof, and by the address sanitizer,
which names the first wrong deed and its line without knowing of them. Then it is observed.

At a program's top stand lines `expect KEY VALUE`: `rule` (what it does wrong first), `sign` (the first impossible thing
that its calls or its heap at the end show), `also` (a second one), `says` (the C library's last words), `ends`. In its
code `/* deed */` marks the line of the first wrong deed, `/* impossible */` the call that shows the sign, `/* also */`
the call that shows the second.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from observer.model.events import Call
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer
from tests.witness.programs import SAMPLES

PROGRAMS = sorted((Path(__file__).resolve().parent / "broken_heaps").glob("*.c"))

RULES = {"freed-before", "never-given", "inside", "write-after-free", "overflow", "none"}
OF_POINTERS = {"two-hands", "overlap", "elsewhere"}
OF_A_CALL = {*OF_POINTERS, "wrong-size", "abort"}
SIGNS = {*OF_A_CALL, "final-heap", "nothing"}
ENDS = {"exit 0": 0, "SIGABRT": -signal.SIGABRT, "SIGSEGV": -signal.SIGSEGV}

SANITIZER_SAYS = {
    "freed-before": r"SUMMARY: AddressSanitizer: double-free", "never-given": r"is located in stack",
    "inside": r"is located [1-9]\d* bytes inside of", "write-after-free": r"SUMMARY: AddressSanitizer: heap-use-after-free",
    "overflow": r"SUMMARY: AddressSanitizer: heap-buffer-overflow",
}  # fmt: skip
NEEDS_GLIBC_LAYOUT = {"mapped_size_overwritten", "tcache_counts_overwritten"}
"""They find the place of their deed by where glibc puts things, which is not where the sanitizer does."""

RULES_OF_CALLS = {"freed-before", "never-given", "inside"}
WORDS_OF_SIGNS = {"two-hands": "two hands", "overlap": "overlap", "elsewhere": "elsewhere", "wrong-size": "too small"}
NOT_EXPLAINED: set[str] = set()

MADE_FOR = ("x86_64", "glibc 2.36")
HERE = platform.machine(), str(os.confstr("CS_GNU_LIBC_VERSION"))

of_this_glibc = pytest.mark.skipif(HERE != MADE_FOR, reason=f"these heaps are broken as {MADE_FOR} allows, not {HERE}")
every_program = pytest.mark.parametrize("source", PROGRAMS, ids=lambda source: source.stem)


@dataclass(frozen=True)
class Expected:
    """What a program says of itself: the lines `expect KEY VALUE` at its top, and the marks in its code."""

    text: str

    @cached_property
    def words(self) -> dict[str, str]:
        return dict(re.findall(r"^ \* expect (\S+) (.+)$", self.text, re.MULTILINE))

    def lines(self, mark: str) -> list[int]:
        return [i for i, line in enumerate(self.text.splitlines(), 1) if f"/* {mark} */" in line]

    @property
    def status(self) -> int:
        return ENDS[self.words["ends"]]

    @property
    def sign_of_pointers(self) -> tuple[str, int] | None:
        """The first sign that the calls' pointers alone show, with its line."""
        marks = [(self.words["sign"], "impossible"), (self.words.get("also", ""), "also")]
        return next(((sign, self.lines(mark)[0]) for sign, mark in marks if sign in OF_POINTERS), None)

    @property
    def output(self) -> str:
        """Every fact in the program's text, each of them true."""
        return "".join(f"fact {name} 1\n" for name in re.findall(r'fact\("(\w+)"', self.text))


def expected(source: Path) -> Expected:
    return Expected(source.read_text())


def compiled(source: Path, target: Path, *flags: str) -> str:
    """Compile *source* as its readers are told to; return the program's path."""
    subprocess.run(["gcc", "-g", "-O0", "-fno-builtin", "-w", "-o", str(target), str(source), *flags], check=True)
    return str(target)


def bare(program: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program], capture_output=True, text=True, errors="replace", check=False, cwd=cwd, timeout=60,
        stdin=subprocess.DEVNULL, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the programs' paths by the names of their sources."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    folder = tmp_path_factory.mktemp("broken_heaps")
    return {source.stem: compiled(source, folder / source.stem) for source in PROGRAMS}


@pytest.fixture(scope="session")
def sanitizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the flag of gcc's address sanitizer, where its library is installed."""
    folder = tmp_path_factory.mktemp("sanitizer")
    flag = "-fsanitize=address"
    done = subprocess.run(["gcc", flag, "-x", "c", "-", "-o", folder / "probe"], input="int main(void) { return 0; }",
                          capture_output=True, text=True, check=False)  # fmt: skip
    if done.returncode:
        pytest.skip("gcc has no address sanitizer here")
    return flag


# ---- what the programs say of themselves ------------------------------------------------------------------------


@every_program
def test_a_program_says_what_to_expect(source: Path) -> None:
    wanted = expected(source)
    rule, sign = wanted.words["rule"], wanted.words["sign"]
    assert (rule in RULES, sign in SIGNS, wanted.words["ends"] in ENDS) == (True, True, True)
    assert len(wanted.lines("deed")) == (rule != "none")
    assert (rule == "none") == source.stem.startswith("sound_")
    assert len(wanted.lines("impossible")) == (sign in OF_A_CALL or wanted.words["ends"] == "SIGSEGV")
    assert len(wanted.lines("also")) == ("also" in wanted.words)
    assert (sign == "abort") == ("says" in wanted.words) == (wanted.words["ends"] == "SIGABRT")
    assert wanted.lines("deed") <= wanted.lines("impossible") or sign not in OF_A_CALL
    assert ('fact("impossible"' in wanted.text) or sign not in OF_A_CALL - {"abort"}


def test_every_rule_and_every_sign_has_its_program() -> None:
    words = [expected(source).words for source in PROGRAMS]
    assert {found["rule"] for found in words} == RULES
    assert {found["sign"] for found in words} == SIGNS


@of_this_glibc
@every_program
def test_a_program_does_what_it_says(programs: dict[str, str], source: Path, tmp_path: Path) -> None:
    wanted = expected(source)
    done = bare(programs[source.stem], tmp_path)
    assert (done.returncode, done.stdout) == (wanted.status, wanted.output)
    assert done.stderr.splitlines() == [wanted.words[word] for word in ("says",) if word in wanted.words]


@every_program
def test_the_first_wrong_deed_is_where_its_mark_stands(sanitizer: str, source: Path, tmp_path: Path) -> None:
    if source.stem in NEEDS_GLIBC_LAYOUT:
        pytest.skip("its deed needs glibc's layout, which the sanitizer's allocator has not")
    wanted = expected(source)
    done = bare(compiled(source, tmp_path / "watched", sanitizer), tmp_path, ASAN_OPTIONS="detect_leaks=0")
    places = re.findall(rf"^ +#\d+ .*/{source.name}:(\d+)", done.stderr, re.MULTILINE)
    if wanted.words["rule"] == "none":
        assert (done.returncode, done.stderr) == (0, "")
    else:
        assert re.search(SANITIZER_SAYS[wanted.words["rule"]], done.stderr), done.stderr
        assert [int(place) for place in places[:1]] == wanted.lines("deed"), done.stderr


# ---- observed ---------------------------------------------------------------------------------------------------


@of_this_glibc
@every_program
def test_a_broken_heap_is_observed_without_being_mended_or_broken_more(
    programs: dict[str, str], source: Path, tmp_path: Path
) -> None:
    wanted = expected(source)
    found = run_observer([programs[source.stem]], tmp_path / "t", options=("-q", "--allow-loss"), cwd=tmp_path)
    assert (as_waited_for(found), found.stdout) == (wanted.status, wanted.output), found.stderr
    assert wanted.words.get("says", "") in found.stderr
    assert "Traceback" not in found.stderr
    assert lines_of_calls(found, source) >= {*wanted.lines("impossible"), *wanted.lines("also")}
    assert first_sign(found.calls) == wanted.sign_of_pointers, source.name
    assert told(found, source) >= told_of(wanted)
    if wanted.words["rule"] == "none":
        assert (told(found, source), found.trace.meta.totals["heap_findings"]) == (set(), 0)
    if wanted.words["sign"] == "final-heap":
        assert found.trace.meta.totals["heap_findings"] > 0


@of_this_glibc
@every_program
def test_the_last_screen_and_the_comparison_name_what_is_broken(
    programs: dict[str, str], source: Path, tmp_path: Path
) -> None:
    wanted = expected(source)
    found = run_observer([programs[source.stem]], tmp_path / "t", options=("--allow-loss",), cwd=tmp_path)
    is_silent = wanted.words["sign"] == "nothing"
    assert bool(re.search(r"^  (rule broken|rules broken|heap  |crashed)", found.stderr, re.MULTILINE)) != is_silent
    words = [*OBSERVER, "compare", "--allocator", "glibc", str(tmp_path / "t"), "--json"]
    compared = subprocess.run(words, capture_output=True, check=False, env=environment_of_commands(), timeout=60)
    if source.stem not in NOT_EXPLAINED:
        assert json.loads(compared.stdout)["unexplained"] == 0


@of_this_glibc
@pytest.mark.parametrize("stem", ["tcache_poisoned_to_stack", "tcache_poisoned_to_data"])
def test_an_address_out_of_every_heap_is_told_by_its_place(programs: dict[str, str], stem: str, tmp_path: Path) -> None:
    found = run_observer([programs[stem]], tmp_path / "t", options=("-q", "--allow-loss"), cwd=tmp_path)
    first, second = [call.where for call in found.calls if call.origin == "program" and call.op == "malloc"][-2:]
    assert str(first).startswith("heap+")
    assert str(second).startswith("stack" if stem.endswith("stack") else f"{stem}+")


def told(recorded: Recorded, source: Path) -> set[tuple[str, int]]:
    """Return what is told of the calls that break a rule, or get what cannot be, with their lines."""
    return {
        (call.misuse.what, call.site.line or 0) for call in recorded.calls
        if call.misuse is not None and call.site is not None and str(call.site.file).endswith(source.name)
    }  # fmt: skip


def told_of(wanted: Expected) -> set[tuple[str, int]]:
    """Return what is to be told of a program's calls: of its deed where that is a call, and of what it gets."""
    rule, sign = wanted.words["rule"], wanted.words["sign"]
    found = set()
    if rule in RULES_OF_CALLS and sign != "nothing":
        found |= {(rule.replace("-", " "), line) for line in wanted.lines("deed")}
    if sign in WORDS_OF_SIGNS:
        found |= {(WORDS_OF_SIGNS[sign], line) for line in wanted.lines("impossible")}
    return found


def as_waited_for(recorded: Recorded) -> int:
    """Return the status as subprocess tells it, whether the observer exited with 128 + a signal or died of the same."""
    return 128 - recorded.status if recorded.status > 128 else recorded.status


def lines_of_calls(recorded: Recorded, source: Path) -> set[int | None]:
    """Read all of the trace; return the lines of *source* that call the allocator."""
    sites = [call.site for call in recorded.calls if call.origin == "program"]
    return {site.line for site in sites if site is not None and str(site.file).endswith(source.name)}


def first_sign(calls: list[Call]) -> tuple[str, int] | None:
    """Go through *calls* with nothing but pointers and sizes; return the first sign that a heap is broken, and its line.

    Every pair of pieces in use is compared: slow, and too simple to be wrong.
    """
    in_use: dict[int, dict[int, int]] = {}
    for call in calls:
        pieces = in_use.setdefault(call.pid, {})
        if call.op == "free" or (call.op == "realloc" and call.result):
            pieces.pop(call.pointer or 0, None)
        if call.result and call.op != "malloc_usable_size":
            sign = sign_of(call, pieces)
            if sign is not None:
                return sign, (call.site and call.site.line) or 0
            pieces[call.result] = call.bytes_asked
    return None


def sign_of(call: Call, pieces: dict[int, int]) -> str | None:
    start = call.result or 0
    if start in pieces:
        return "two-hands"
    if any(start < piece + size and piece < start + call.bytes_asked for piece, size in pieces.items()):
        return "overlap"
    return None if str(call.where).startswith(("heap+", "map#")) else "elsewhere"


# ---- nobody is accused who did nothing ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", SAMPLES)
def test_no_sample_is_told_to_break_a_rule(
    name: str, sample: Callable[[str], str], recorded: Callable[..., Recorded]
) -> None:
    found = recorded(sample(name))
    assert [call.misuse for call in found.calls if call.misuse is not None] == []
    assert found.trace.meta.heap_damage == ""


def test_threads_of_a_static_program_empty_their_caches_unaccused(tmp_path: Path) -> None:
    source = next(source for source in PROGRAMS if source.stem == "sound_two_threads")
    found = run_observer(
        [compiled(source, tmp_path / "program", "-static", "-pthread")], tmp_path / "t", options=("-q",)
    )
    found.assert_balanced()
    assert (told(found, source), len({call.tid for call in found.calls}) > 1) == (set(), True)
