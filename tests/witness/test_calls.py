"""Allocator calls equal to an independent counter's, in the same run: a library of the tests' own, preloaded."""

from __future__ import annotations

import struct
from collections import Counter
from pathlib import Path
from shutil import which

import pytest

from tests.recordings import run_observer
from tests.witness.programs import REAL, SAMPLES, real_command

KINDS = (
    "malloc", "calloc", "realloc", "free", "reallocarray", "memalign", "aligned_alloc", "posix_memalign", "valloc", "pvalloc",
    "malloc_trim", "malloc_usable_size",
)  # fmt: skip
DYNAMIC = [name for name in SAMPLES if not name.endswith("-static")]


def counted_and_seen(command: list[str], tools: Path, folder: Path) -> tuple[Counter[str], Counter[str]]:
    """Run under the observer with the counter in front; return its counts and ours, by function."""
    counts = folder / "counts"
    counts.mkdir()
    environment = {"LD_PRELOAD": str(tools / "counter.so"), "COUNTER_DIRECTORY": str(counts)}
    wrapped = ["env", *(f"{name}={value}" for name, value in environment.items()), *command]
    recorded = run_observer(wrapped, folder / "trace", options=("-q",))
    recorded.assert_balanced()
    counted: Counter[str] = Counter()
    for file in counts.iterdir():
        counted.update(dict(zip(KINDS, struct.unpack_from(f"{len(KINDS)}Q", file.read_bytes()), strict=True)))
    started = min(process.n for process in recorded.processes if process.what == "exec")
    seen = Counter(call.op for call in recorded.calls if call.n > started)
    return +counted, seen


@pytest.mark.parametrize("name", DYNAMIC)
def test_every_allocator_call_of_a_sample_is_seen(name: str, sample: object, tools: Path, tmp_path: Path) -> None:
    assert callable(sample)
    counted, seen = counted_and_seen([sample(name)], tools, tmp_path)
    assert seen == counted


@pytest.mark.parametrize("name", REAL)
def test_every_allocator_call_of_a_real_program_is_seen(name: str, tools: Path, tmp_path: Path) -> None:
    if which(name) is None:
        pytest.skip(f"{name} is not installed")
    counted, seen = counted_and_seen(real_command(name, tmp_path), tools, tmp_path)
    assert sum(counted.values()) > 100 or name == "ls"
    assert seen == counted


def test_eight_threads_hammering_lose_no_call(sample: object, tmp_path: Path) -> None:
    assert callable(sample)
    recorded = run_observer([sample("hammer"), "8", "20000"], tmp_path / "trace", options=("-q",))
    recorded.assert_balanced()
    of_the_threads = [call for call in recorded.calls if call.origin == "program"]
    assert len(of_the_threads) == 8 * 20_000 * 2
    assert Counter(call.op for call in of_the_threads) == {"malloc": 160_000, "free": 160_000}
