"""Snapshots of the heap in the midst of a run: the model's reconstruction is what was read, chunk by chunk."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from observer.compare.heap_at import heap_as_of
from observer.compare.snapshots import beside_snapshot
from observer.model.ledger import SNAPSHOT_BYTES
from observer.runs.models import exact_model_if_known
from tests.live.programs import compile_c
from tests.live.test_broken_heaps import PROGRAMS, Expected
from tests.recordings import OBSERVER, Recorded, environment_of_commands, run_observer

SAMPLES = Path(__file__).resolve().parents[2] / "c_samples"
HERE = platform.machine(), str(os.confstr("CS_GNU_LIBC_VERSION"))
of_this_glibc = pytest.mark.skipif(HERE != ("x86_64", "glibc 2.36"), reason="these heaps are those of glibc 2.36")

CHURN = """
#include <stdlib.h>
#include <string.h>
int main(void) {
    char *piece[61] = {0};
    unsigned seed = 17;
    for (int i = 0; i < 307; i++) {
        seed = seed * 1103515245u + 12345u;
        unsigned slot = (seed >> 16) % 61, size = (seed >> 8) % 211 * ((seed >> 5) % 7 ? 1 : 29) + 1;
        if (piece[slot]) { free(piece[slot]); piece[slot] = NULL; }
        else if (i % 11 == 3) piece[slot] = realloc(malloc(size), size + 700);
        else if (i % 13 == 5) piece[slot] = memset(malloc(180011), 1, 5);
        else piece[slot] = calloc(1, size);
    }
    char *fast[19];
    for (int i = 0; i < 19; i++) fast[i] = malloc(24);
    for (int i = 0; i < 19; i++) free(fast[i]);
    return 0;
}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("snapshots")


def sample(name: str, folder: Path, *flags: str) -> str:
    return compile_c((SAMPLES / f"{name}.c").read_text(), folder / name, f"-I{SAMPLES}", *flags)


def taken(program: str, folder: Path, *whens: str) -> Recorded:
    options = [word for when in whens for word in ("--snapshot", when)]
    return run_observer([program], folder / f"{Path(program).name}.trace", options=[*options, "-q", "--force"])


def states_alike(run: Recorded) -> Counter[str]:
    """Assert that every snapshot is what the exact model has at its moment; count what the chunks were."""
    trace, states = run.trace, Counter[str]()
    model = exact_model_if_known(trace.meta.machine, trace.meta.request.environment)
    assert model is not None
    for snapshot in trace.meta.snapshots:
        events = trace.events(frozenset({"call", "syscall", "process"}))
        read = trace.chunks_of(snapshot)
        found = heap_as_of(events, model, snapshot.pid, snapshot.t_ns)
        beside = beside_snapshot(found.chunks, read)
        assert (beside.differing, beside.first) == (0, (None, None)), snapshot
        assert beside.alike >= len([chunk for chunk in read if chunk.state not in ("mmapped", "fence")])
        states += Counter(chunk.state for chunk in read)
    return states


def verdict(run: Recorded) -> str:
    (line,) = (line for line in run.trace.meta.ledger if line.identity == SNAPSHOT_BYTES)
    return line.verdict


@of_this_glibc
def test_every_kind_of_chunk_is_where_the_model_has_it(folder: Path) -> None:
    run = taken(compile_c(CHURN, folder / "churn"), folder, "every 7 calls")
    run.assert_balanced()
    assert run.status == 0
    assert len(run.trace.meta.snapshots) == len(run.calls) // 7
    states = states_alike(run)
    assert {"in use", "cache", "tcache", "fast", "unsorted", "small", "top", "mmapped"} <= set(states)


def test_a_static_program_is_balanced_at_every_snapshot(folder: Path) -> None:
    run = taken(compile_c(CHURN, folder / "churn-static", "-static"), folder, "every 7 calls")
    run.assert_balanced()
    assert len(run.trace.meta.snapshots) == len(run.calls) // 7
    assert verdict(run) in ("COMPLETE", "COMPLETE WITH EXCLUSIONS")


@of_this_glibc
@pytest.mark.parametrize("name", ["story", "reuse", "realloc", "trim", "calloc", "family", "mmap_threshold"])
def test_samples_have_the_heap_that_the_model_has(folder: Path, name: str) -> None:
    run = taken(sample(name, folder), folder, "every 7 calls", "every 3 calls")
    run.assert_balanced()
    assert len(run.trace.meta.snapshots) >= 2
    states_alike(run)


def test_a_line_is_one_snapshot_for_each_of_its_calls(folder: Path) -> None:
    run = taken(sample("story", folder), folder, "line <stdin>:40", "line <stdin>:28", "line <stdin>:1")
    run.assert_balanced()
    sites = [call.site for n in run.trace.meta.snapshots for call in run.calls if call.n == n.n]
    expected = [call.n for call in run.calls if call.site is not None and call.site.line in (28, 40)]
    assert [site.line for site in sites if site is not None] == [28] + [40] * 17
    assert [snapshot.n for snapshot in run.trace.meta.snapshots] == expected
    assert any("no call was made at <stdin>:1: no snapshot" in note for note in run.trace.meta.notes)


def test_a_line_that_calls_through_the_c_library_is_met(folder: Path) -> None:
    source = '#include <string.h>\n#include <stdlib.h>\nint main(void) {\n  char *a = strdup("a piece of the library");\n  free(a);\n  return 0;\n}\n'
    run = taken(compile_c(source, folder / "through"), folder, "line <stdin>:4")
    (snapshot,) = run.trace.meta.snapshots
    (call,) = (call for call in run.calls if call.n == snapshot.n)
    assert (call.op, call.site and call.site.line, call.origin) == ("malloc", 4, "libc")


@pytest.mark.parametrize("name", ["threads", "exec_self", "sound_two_threads", "sound_forked_child"])
def test_threads_and_children_stay_balanced(folder: Path, name: str) -> None:
    found = next((source for source in PROGRAMS if source.stem == name), SAMPLES / f"{name}.c")
    program = compile_c(found.read_text(), folder / name, f"-I{found.parent}", f"-I{SAMPLES}")
    run = taken(program, folder, "every 3 calls")
    run.assert_balanced()
    assert run.status == 0
    assert run.trace.meta.snapshots


@of_this_glibc
@pytest.mark.parametrize(
    "name",
    ["tcache_poisoned_to_data", "fastbin_double_free", "top_size_shrunk", "largebin_next_size", "off_by_one_null"],
)
def test_a_broken_heap_shows_at_the_first_return_after_the_deed(folder: Path, name: str) -> None:
    (source,) = (source for source in PROGRAMS if source.stem == name)
    run = taken(compile_c(source.read_text(), folder / name, f"-I{source.parent}"), folder, "every 1 calls")
    (deed,) = Expected(source.read_text()).lines("deed")
    lines = {call.n: call.site.line or 0 for call in run.calls if call.site is not None}
    snapshots = run.trace.meta.snapshots
    (first, *_rest) = (i for i, snapshot in enumerate(snapshots) if snapshot.findings)
    assert lines[snapshots[first - 1].n] < deed <= lines[snapshots[first].n]
    (line,) = (line for line in run.trace.meta.ledger if line.identity == SNAPSHOT_BYTES)
    assert f"after call {snapshots[first].n:,} the heap is damaged" in line.note or line.verdict == "UNVERIFIABLE"


@of_this_glibc
def test_a_chunk_whose_size_was_overwritten_accuses_the_program_and_not_us(folder: Path) -> None:
    (source,) = (source for source in PROGRAMS if source.stem == "size_grown_in_tcache")
    run = taken(compile_c(source.read_text(), folder / source.stem, f"-I{source.parent}"), folder, "every 1 calls")
    assert (run.status, verdict(run)) == (0, "UNVERIFIABLE")


@of_this_glibc
def test_show_says_that_the_reconstruction_agrees(folder: Path) -> None:
    run = taken(sample("story", folder), folder, "every 7 calls")
    n = run.trace.meta.snapshots[1].n

    def shown(at: int) -> str:
        words = [*OBSERVER, "show", str(run.directory), "--heap", "--at", str(at)]
        done = subprocess.run(words, capture_output=True, text=True, env=environment_of_commands(), timeout=60)
        assert done.returncode == 0, done.stderr
        return " ".join(done.stdout.split())

    count = len(run.trace.chunks_of(run.trace.meta.snapshots[1]))
    assert f"the snapshot read from the process as this call returned has the very same {count} chunks" in shown(n)
    assert "snapshot" not in shown(n + 1)


def test_without_the_option_nothing_of_it_is_there(folder: Path) -> None:
    run = taken(sample("story", folder), folder)
    assert not (run.directory / "snapshots.parquet").exists()
    assert SNAPSHOT_BYTES not in {line.identity for line in run.trace.meta.ledger}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--snapshot", "now and then"], "--snapshot 'line story.c:28'"),
        (["--snapshot", "every 7 calls", "-e", "faults"], "--snapshot needs allocator calls"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused(folder: Path, options: list[str], says: str) -> None:
    run = run_observer(["/bin/true"], folder / "refused", options=options)
    unknown = run_observer(["/bin/true"], folder / "refused", options=["-e", "nonsense"])
    assert run.status == unknown.status
    assert says in run.stderr
    assert "Traceback" not in run.stderr
    assert not (folder / "refused").exists()
