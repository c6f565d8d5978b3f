"""`observer allocators` beside others' numbers: a counter of calls in front, time(1), smaps, the programs' own facts."""

from __future__ import annotations

import json
import os
import struct
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from shutil import which
from typing import Any

import pytest

from observer.tracee.allocators import PRELOADED, Library, Missing, find
from tests.recordings import OBSERVER, environment_of_commands, run_observer
from tests.witness.test_calls import KINDS

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
BALANCED = {"COMPLETE", "COMPLETE WITH EXCLUSIONS"}
NEAR = 0.02
Entries = dict[str, dict[str, Any]]


def library(allocator: str) -> str:
    """Return the path of an allocator's library, or skip."""
    found = find(allocator, os.environ)
    if isinstance(found, Missing):
        pytest.skip(f"{allocator}: {found.why}, and {found.remedy} could not be done")
    assert isinstance(found, Library)
    return found.path


def measured(*words: str, **environment: str) -> Entries:
    """Run `observer allocators --json` with *words*; return the entries by name. All ledgers balance."""
    done = subprocess.run(
        [*OBSERVER, "allocators", "--json", *words], cwd=ROOT, capture_output=True, stdin=subprocess.DEVNULL, check=False,
        env={**environment_of_commands(), **environment}, text=True, errors="replace",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    entries = {entry["allocator"]: entry for entry in json.loads(done.stdout)}
    assert {entry["ledger"] for entry in entries.values()} <= BALANCED
    return entries


def counts(folder: Path) -> Counter[str]:
    """Return the calls that the counter counted, by function."""
    total: Counter[str] = Counter()
    for file in folder.iterdir():
        total.update(dict(zip(KINDS, struct.unpack_from(f"{len(KINDS)}Q", file.read_bytes()), strict=True)))
    return +total


# ---- calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("allocator", PRELOADED)
@pytest.mark.parametrize("name", ["story", "realloc", "calloc", "family"])
def test_calls_are_those_that_a_counter_in_front_counts(
    name: str, allocator: str, sample: Callable[[str], str], tools: Path, tmp_path: Path
) -> None:
    preloaded = f"{tools / 'counter_next.so'}:{library(allocator)}"
    # jemalloc has no pvalloc, so `family` ends by a signal; its calls are counted all the same.
    subprocess.run(
        [sample(name)],
        env={"LD_PRELOAD": preloaded, "COUNTER_DIRECTORY": str(tmp_path)},
        capture_output=True,
        check=False,
    )
    entry = measured("--runs", "1", "--only", allocator, "--", sample(name))[allocator]
    assert _folded(entry["calls"]) == _folded(counts(tmp_path))


def _folded(calls: dict[str, int]) -> Counter[str]:
    """Count memalign and aligned_alloc as one: in tcmalloc (and glibc) both names are of the same code."""
    folded = Counter(calls)
    folded["memalign"] += folded.pop("aligned_alloc", 0)
    return +folded


@pytest.mark.parametrize("allocator", PRELOADED)
def test_calls_of_threads_are_counted_alike_in_one_run(
    allocator: str, sample: Callable[[str], str], tools: Path, tmp_path: Path
) -> None:
    (tmp_path / "counts").mkdir()
    environment = {
        "LD_PRELOAD": f"{tools / 'counter_next.so'}:{library(allocator)}", "COUNTER_DIRECTORY": str(tmp_path / "counts"),
    }  # fmt: skip
    words = ["env", *(f"{name}={value}" for name, value in environment.items()), sample("hammer"), "5", "401"]
    recorded = run_observer(words, tmp_path / "trace", options=("-q",))
    recorded.assert_balanced()
    started = min(process.n for process in recorded.processes if process.what == "exec")
    own = os.path.basename(library(allocator))
    calls = [call for call in recorded.calls if call.n > started and (call.site is None or call.site.module != own)]
    assert Counter(call.op for call in calls) == counts(tmp_path / "counts")
    assert sum(call.inner for call in recorded.calls) >= 2 * 5 * 401


@pytest.mark.parametrize("allocator", PRELOADED)
def test_the_operators_of_cpp_are_seen(allocator: str, tmp_path: Path) -> None:
    library(allocator)
    if which("g++") is None:
        pytest.skip("g++ is not installed")
    program = tmp_path / "operators"
    subprocess.run(["g++", "-O0", "-g", "-std=c++17", "-o", str(program), str(HERE / "operators.cc")], check=True)
    glibc, other = measured("--runs", "1", "--only", f"glibc,{allocator}", "--", str(program)).values()
    assert glibc["calls"]["memalign" if "memalign" in glibc["calls"] else "aligned_alloc"] == 101
    calls = other["calls"]
    assert (calls["operator new"], calls["operator new (aligned)"]) == (211, 101)
    # An array may be deleted by the very code of free.
    assert calls.get("operator delete", 0) + calls.get("free", 0) == glibc["calls"]["free"]
    assert other["live_peak_bytes"] == glibc["live_peak_bytes"]


@pytest.mark.parametrize("name", ["story", "reuse", "threads"])
def test_calls_under_musl_are_the_programs_own_facts(name: str, sample: Callable[[str], str], tmp_path: Path) -> None:
    if which("musl-gcc") is None:
        pytest.skip("musl-gcc is not installed")
    built = tmp_path / name
    source = ROOT / "c_samples" / f"{name}.c"
    subprocess.run(
        ["musl-gcc", "-O0", "-fno-builtin", "-std=gnu11", "-pthread", "-o", str(built), str(source)], check=True
    )
    said = subprocess.run([str(built)], capture_output=True, text=True, check=True).stdout
    facts = dict(line.split()[1:3] for line in said.splitlines())
    entry = measured("--runs", "1", "--only", "musl", "--source", str(source), "--", sample(name))["musl"]
    assert sum(entry["calls"].values()) == int(facts["calls"])
    assert entry["calls"]["malloc"] == int(facts["malloc_calls"])


@pytest.mark.parametrize(
    "words", [("alloc_tiny", "503"), ("alloc_fragment", "101"), ("alloc_large", "2"), ("alloc_threads", "3", "211")]
)
def test_the_samples_for_allocators_say_what_they_call(words: tuple[str, ...], sample: Callable[[str], str]) -> None:
    command = [sample(words[0]), *words[1:]]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    facts = dict(line.split()[1:3] for line in said.splitlines())
    calls = measured("--runs", "1", "--only", "glibc", "--", *command)["glibc"]["calls"]
    assert calls["malloc"] == int(facts["malloc_calls"])
    # For each thread that ends, the C library frees what it kept for it.
    for_threads = calls["free"] - int(facts["free_calls"])
    assert for_threads >= 0 if words[0] == "alloc_threads" else for_threads == 0


# ---- sizes and faults ---------------------------------------------------------------------------------------


def test_peak_and_faults_are_those_of_time(sample: Callable[[str], str], tmp_path: Path) -> None:
    if not Path("/usr/bin/time").exists():
        pytest.skip("time is not installed")
    # Large enough that the kernel's own slack in counting resident pages (64 a thread) is well below the margin.
    words = [sample("alloc_large"), "3"]
    entries = measured("--runs", "3", "--", *words)
    for allocator, entry in entries.items():
        preload = {} if allocator == "glibc" else {"LD_PRELOAD": library(allocator)}
        timed = subprocess.run(
            ["/usr/bin/time", "-o", str(tmp_path / "told"), "-f", "%M %R %F", *words], env=preload, stdout=subprocess.DEVNULL,
            check=True,
        )  # fmt: skip
        assert timed.returncode == 0
        peak, minor, major = map(int, (tmp_path / "told").read_text().split())
        assert entry["peak_resident_bytes"] == pytest.approx(peak * 1024, rel=NEAR), allocator
        assert entry["faults"] == pytest.approx(minor + major, rel=NEAR), allocator


def test_the_end_is_that_of_smaps(tmp_path: Path) -> None:
    program, folder = tmp_path / "ends", tmp_path / "copies"
    folder.mkdir()
    subprocess.run(["gcc", "-O0", "-g", "-fno-builtin", "-o", str(program), str(HERE / "ends.c")], check=True)
    words = ("--runs", "1", "--source", str(HERE / "ends.c"), "--", str(program), str(folder))
    entries = measured(*words)
    # The recorded runs come first, then the light ones in the order of the table.
    copies = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns)[-len(entries) :]
    for (allocator, entry), copy in zip(entries.items(), copies, strict=True):
        mapped, resident = _sums(copy.read_text())
        assert entry["end_resident_bytes"] == pytest.approx(resident, rel=NEAR), allocator
        assert entry["mapped_bytes"] == pytest.approx(mapped, rel=NEAR), allocator


def _sums(smaps: str) -> tuple[int, int]:
    """Return the bytes mapped and resident, without the page that the kernel maps into everyone."""
    sums: Counter[str] = Counter()
    name = ""
    for line in smaps.splitlines():
        words = line.split()
        if "-" in words[0]:
            name = words[-1]
        elif words[0] in ("Size:", "Rss:") and name != "[vsyscall]":
            sums[words[0]] += int(words[1]) * 1024
    return sums["Size:"], sums["Rss:"]


def test_waste_is_what_arithmetic_says(sample: Callable[[str], str]) -> None:
    pieces = 10007
    entries = measured("--runs", "1", "--only", "glibc,mimalloc", "--", sample("alloc_tiny"), str(pieces))
    glibc = entries["glibc"]
    assert glibc["live_peak_bytes"] == 8 * pieces
    # Each piece of 8 bytes takes 32 (glibc 2.26 and later), and the end of the heap is used up page by page.
    assert glibc["wasted_bytes"] == pytest.approx(24 * pieces, abs=3 * 4096)
    if "mimalloc" in entries:
        assert entries["mimalloc"]["wasted_bytes"] < glibc["wasted_bytes"] / 4
