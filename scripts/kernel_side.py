"""What the kernel's side costs a page fault: a program that touches fresh pages, recorded in each way in turn.

The program times its own faults, by the clock and by its share of the processor: starting, planting and bcc's compiler
are in neither. What the observer does beside it, emptying rings, shows on the clock where processors are few.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["costs_of_a_fault"]

PAGES = 50_000
PROGRAM = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
static double now(clockid_t clock)
{
    struct timespec at;
    clock_gettime(clock, &at);
    return at.tv_sec + at.tv_nsec / 1e9;
}
int main(int count, char **word)
{
    size_t size = atol(word[1]) << 12;
    char *piece = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (piece == MAP_FAILED || madvise(piece, size, MADV_NOHUGEPAGE))
        return 1;
    double clock = now(CLOCK_MONOTONIC), processor = now(CLOCK_PROCESS_CPUTIME_ID);
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)piece)[i] = 1;
    printf("%.9f %.9f\n", now(CLOCK_MONOTONIC) - clock, now(CLOCK_PROCESS_CPUTIME_ID) - processor);
    return 0;
}
"""
WAYS = {
    "natively": ([], ""),
    "observer run": (["-e", "trace=memory"], ""),
    "observer run -e kernel": (["-e", "kernel"], "the kernel's side (-e kernel)"),
    "observer run -e bcc": (["-e", "bcc"], "a second witness of it (-e bcc)"),
}
"""The options of each, and what it needs, as `observer doctor` calls it."""
OBSERVER = [sys.executable, "-m", "observer"]


def costs_of_a_fault(folder: Path, runs: int, say: Callable[[str], None]) -> None:
    """Measure in *folder*, and *say* a line a way: microseconds a fault, and beyond the same round's native run."""
    program = str(folder / "touch")
    subprocess.run(["gcc", "-O1", "-x", "c", "-", "-o", program], input=PROGRAM, text=True, check=True)
    done = subprocess.run([*OBSERVER, "doctor", "--json"], stdout=subprocess.PIPE, text=True, check=False)
    found = {item["capability"]: item for item in json.loads(done.stdout)}
    ways = {name: options for name, (options, needed) in WAYS.items() if not needed or found[needed]["works"]}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, options in ways.items():
            taken[name].append(_recorded([program, str(PAGES)], folder, options))
    for name, (_options, needed) in WAYS.items():
        if name not in ways:
            say(f"  {name:26}not here: {found[needed]['why_not']}")
            continue
        more = [mine[1] - native[1] for mine, native in zip(taken[name], taken["natively"], strict=True)]
        clock, processor = (statistics.median(column) for column in zip(*taken[name], strict=True))
        said = f", {statistics.median(more):5.2f} more" if WAYS[name][0] else ""
        say(f"  {name:26}{clock:6.2f} µs a fault, {processor:5.2f} of the processor{said}")


def _recorded(command: list[str], folder: Path, options: list[str]) -> tuple[float, float]:
    """Return microseconds a fault, by the clock and of the processor; natively without *options*."""
    run = [*OBSERVER, "run", "-q", "--model", "none", "--force", *options, "-o", str(folder / "trace"), "--"]
    done = subprocess.run([*(run if options else []), *command], capture_output=True, text=True, check=True)
    clock, processor = (float(word) / PAGES * 1e6 for word in done.stdout.split())
    return clock, processor
