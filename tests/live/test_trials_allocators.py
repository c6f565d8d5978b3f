"""What stands between a run and its models is named: settings, other allocators, threads, broken rules; as both users."""

from __future__ import annotations

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from observer.glibc.versions import VERSIONS
from observer.model.events import Call
from observer.trace.reader import Trace
from tests.ordinary import PREFIX, PYTHON, open_to_everyone
from tests.recordings import environment_of_commands

pytestmark = pytest.mark.skipif(PYTHON is None, reason="uid nobody may run no Python that has the packages")
SOURCES = Path(__file__).parent / "trials"


@dataclass(frozen=True)
class Compared:
    """What `observer compare --json` said."""

    status: int
    result: dict[str, Any]

    @property
    def calls(self) -> dict[str, int]:
        counts: dict[str, int] = self.result["calls"]
        return counts

    @property
    def rules(self) -> Counter[str | None]:
        return Counter(each["rule"] for each in self.result["differences"])

    def assert_predicted(self) -> None:
        """Nothing differs, nothing is left open."""
        assert (self.status, self.result["differences"], self.result["notes"]) == (0, [], [])
        assert self.calls["agree"] == self.calls["total"] > 0

    def assert_explained(self, rule: str) -> None:
        """All differences have a name, and one has this."""
        assert (self.status, self.result["unexplained"]) == (0, 0), self.result["differences"]
        assert self.rules[rule] > 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("trials")
    open_to_everyone(made)
    return made


@pytest.fixture(scope="module")
def built(folder: Path) -> Callable[..., str]:
    """Return a function that compiles a program of `trials/` by name, once."""

    def build(name: str, *options: str) -> str:
        place = folder / f"{name}{'.so' if '-shared' in options else ''}"
        if not place.exists():
            words = ["gcc", "-g", "-O0", "-w", "-fno-builtin", "-pthread", *options, "-o", place, SOURCES / f"{name}.c"]
            subprocess.run([*words, "-ldl"], check=True)
        return str(place)

    return build


@pytest.fixture(params=[[], PREFIX], ids=["root", "ordinary"])
def observe(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs the observer as one of the two users."""
    open_to_everyone(tmp_path)
    assert PYTHON is not None
    python, path = PYTHON
    environment = {**environment_of_commands(), "PYTHONPATH": path, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)}

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*request.param, python, "-m", "observer", *words], env={**environment, **more}, cwd=tmp_path,
            capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=100,
        )  # fmt: skip

    return run


@pytest.fixture
def compare(observe: Callable[..., subprocess.CompletedProcess[str]]) -> Callable[..., Compared]:
    """Return a function that compares a command with the `book` or with `glibc`."""

    def run(allocator: str, *command: str, **more: str) -> Compared:
        done = observe("compare", "--json", "--allocator", allocator, "--", *command, **more)
        assert done.stdout, (done.returncode, done.stderr)
        assert "Traceback" not in done.stderr
        return Compared(done.returncode, json.loads(done.stdout))

    return run


@pytest.fixture
def recorded(observe: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path) -> Callable[..., list[Call]]:
    """Return a function that records a command and gives its calls; the story is left in `tmp_path/story`."""

    def run(*command: str) -> list[Call]:
        done = observe("run", "--full", "-o", str(tmp_path / "trace"), "--", *command)
        (tmp_path / "story").write_text(" ".join(done.stderr.split()))
        return [event for event in Trace.open(tmp_path / "trace").events() if isinstance(event, Call)]

    return run


@pytest.fixture(autouse=True, scope="module")
def _is_known() -> None:
    """Skip everything where there is no model of the C library."""
    told = (os.confstr("CS_GNU_LIBC_VERSION") or "").removeprefix("glibc ")
    if told not in VERSIONS:
        pytest.skip(f"no model of this machine's C library ({told or 'no glibc'})")


# ---- settings -----------------------------------------------------------------------------------------------

SETTINGS = {
    "M_MMAP_THRESHOLD": (-3, 60000), "M_TOP_PAD": (-2, 0), "M_MMAP_MAX": (-4, 0), "M_PERTURB": (-6, 7),
    "M_MXFAST": (1, 0), "M_TRIM_THRESHOLD": (-1, 1 << 30), "unknown": (99, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_what_mallopt_sets_is_predicted(name: str, compare: Callable[..., Compared], built: Callable[..., str]) -> None:
    parameter, value = map(str, SETTINGS[name])
    compare("glibc", built("settings"), parameter, value).assert_predicted()
    if name in ("M_MMAP_THRESHOLD", "M_TOP_PAD", "M_MMAP_MAX", "M_TRIM_THRESHOLD"):
        assert compare("book", built("settings"), parameter, value).result["unexplained"] == 0


@pytest.mark.parametrize(
    "setting", ["GLIBC_TUNABLES=glibc.malloc.top_pad=0:glibc.malloc.tcache_count=1", "MALLOC_MMAP_THRESHOLD_=50000"]
)
def test_what_is_set_at_exec_counts_and_what_was_set_before_does_not(
    setting: str, compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    compare("glibc", "env", setting, built("settings")).assert_predicted()
    compare("glibc", "env", "-i", built("settings"), GLIBC_TUNABLES="glibc.malloc.top_pad=0").assert_predicted()
    assert compare("book", "env", setting, built("settings")).result["unexplained"] == 0


def test_a_call_tells_the_setting(
    recorded: Callable[..., list[Call]], built: Callable[..., str], tmp_path: Path
) -> None:
    [call] = [call for call in recorded(built("settings"), "-3", "60000") if call.op == "mallopt"]
    assert (call.parameter, call.value, call.result, call.allocator) == (-3, 60000, 1, "glibc")
    assert "mallopt(M_MMAP_THRESHOLD, 60000) changes a setting of the allocator" in (tmp_path / "story").read_text()


@pytest.mark.parametrize(
    ("function", "alignment"),
    [("posix_memalign", "0"), ("posix_memalign", "4"), ("posix_memalign", "24"), ("memalign", "48"),
     ("aligned_alloc", "48"), ("aligned_alloc", "0")],
)  # fmt: skip
def test_forbidden_and_odd_alignments(
    function: str, alignment: str, compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    compare("glibc", built("alignments"), function, alignment).assert_predicted()
    assert compare("book", built("alignments"), function, alignment).result["unexplained"] == 0


# ---- whose allocator ----------------------------------------------------------------------------------------


def test_a_program_with_an_allocator_of_its_own(compare: Callable[..., Compared], built: Callable[..., str]) -> None:
    exactly = compare("glibc", built("own_pool"))
    exactly.assert_explained("other-allocator")
    assert (exactly.result["agree"], exactly.calls["agree"]) == (False, 0)
    assert exactly.calls["undetermined"] == exactly.calls["total"] > 0
    assert exactly.result["notes"] == [
        f"{exactly.calls['total']} calls went to the allocator of own_pool, which is not modelled"
    ]
    compare("book", built("own_pool")).assert_explained("other-allocator")


@pytest.mark.parametrize(
    "library", ["passing", "libjemalloc.so.2", "libtcmalloc_minimal.so.4", "libc_malloc_debug.so.0"]
)
def test_a_library_before_the_c_library(
    library: str, compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    place = built("passing", "-shared", "-fPIC") if library == "passing" else library
    if library != "passing" and not list(Path("/usr/lib").glob(f"*/{library}")) + list(
        Path("/lib").glob(f"*/{library}")
    ):
        pytest.skip(f"{library} is not installed")
    command = ["env", f"LD_PRELOAD={place}", built("settings")]
    compare("glibc", *command).assert_explained("other-allocator")
    assert compare("book", *command).result["unexplained"] == 0


def test_a_second_c_library_is_predicted_beside_the_first(
    compare: Callable[..., Compared], recorded: Callable[..., list[Call]], built: Callable[..., str]
) -> None:
    compare("glibc", built("second_library")).assert_predicted()
    compare("book", built("second_library")).assert_explained("other-allocator")
    whose = Counter(call.allocator for call in recorded(built("second_library")))
    assert (whose["glibc#2"], set(whose)) == (40 + 14 + 2 + 1, {"glibc", "glibc#2"})


# ---- threads ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [[], ["two at a time"]], ids=["alone", "two"])
def test_arenas_go_from_thread_to_thread(
    more: list[str], compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    exactly = compare("glibc", built("turns"), *more)
    assert (exactly.status, exactly.result["unexplained"]) == (0, 0)
    if not more:
        exactly.assert_predicted()
    assert compare("book", built("turns"), *more).result["unexplained"] == 0


@pytest.mark.parametrize("more", [[], ["and alone"]], ids=["threads", "then alone"])
def test_threads_that_give_pieces_to_each_other(
    more: list[str], compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    exactly = compare("glibc", built("relay"), *more)
    assert (exactly.status, exactly.result["unexplained"]) == (0, 0)
    assert exactly.calls["agree"] + exactly.calls["undetermined"] == exactly.calls["total"]
    assert bool(exactly.calls["undetermined"]) == bool(exactly.result["notes"])
    assert compare("book", built("relay"), *more).result["unexplained"] == 0


# ---- broken rules -------------------------------------------------------------------------------------------


def test_a_piece_that_is_given_back_twice(
    compare: Callable[..., Compared], recorded: Callable[..., list[Call]], built: Callable[..., str], tmp_path: Path
) -> None:
    calls = {call.n: call for call in recorded(built("twice"), "twice")}
    [again] = [call for call in calls.values() if call.misuse and call.misuse.what == "freed before"]
    assert again.misuse is not None
    assert again.misuse.given is not None
    assert again.misuse.freed is not None
    assert calls[again.misuse.given].result == calls[again.misuse.freed].pointer == again.pointer
    assert calls[again.misuse.freed].op == "free"
    [second] = [call for call in calls.values() if call.misuse and call.misuse.what == "two hands"]
    assert second.result == again.pointer
    told = f"the piece of call {again.misuse.given} ({again.misuse.given_at}) was given back already, by call {again.misuse.freed}"
    assert told in (tmp_path / "story").read_text()
    exactly = compare("glibc", built("twice"), "twice")
    assert (exactly.status, exactly.result["unexplained"]) == (0, 0)
    assert "gave a piece back that had been given back already" in exactly.result["notes"][0]
    assert compare("book", built("twice"), "twice").result["unexplained"] == 0


@pytest.mark.parametrize(
    ("how", "what", "told"),
    [
        ("stack", "never given", "no call that was seen returned this pointer"),
        ("middle", "inside", "lies inside that piece"),
        ("moved", "freed before", "was given back already"),
    ],
)
def test_a_free_of_what_is_not_to_be_freed(
    how: str, what: str, told: str, compare: Callable[..., Compared], recorded: Callable[..., list[Call]],
    built: Callable[..., str], tmp_path: Path,
) -> None:  # fmt: skip
    calls = recorded(built("twice"), how)
    assert what in [call.misuse.what for call in calls if call.misuse is not None]
    assert told in (tmp_path / "story").read_text()
    for allocator in ("glibc", "book"):
        compared = compare(allocator, built("twice"), how)
        assert (compared.status, compared.result["unexplained"]) == (0, 0), compared.result["differences"]


def test_sound_programs_break_no_rule(recorded: Callable[..., list[Call]], built: Callable[..., str]) -> None:
    assert [call for call in recorded(built("relay")) if call.misuse is not None] == []


# ---- after a divergence -------------------------------------------------------------------------------------


def test_the_model_finds_its_way_back_and_claims_nothing_before(
    compare: Callable[..., Compared], built: Callable[..., str]
) -> None:
    exactly = compare("glibc", built("overwritten"))
    assert (exactly.status, exactly.result["unexplained"], exactly.result["agree"]) == (0, 0, False)
    [found] = exactly.result["differences"]
    assert (found["what"], found["rule"]) == ("pointer", "misuse")
    assert exactly.calls["undetermined"] > 0
    assert exactly.calls["agree"] + exactly.calls["undetermined"] + 1 == exactly.calls["total"]
    assert "tells again" in exactly.result["notes"][-1]
