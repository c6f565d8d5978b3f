"""What a trace's screens take: seconds, processor time, the largest process."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

__all__ = ["shown"]

SCREENS = ((), ("--top", "bytes"), ("--peak",), ("--lifetimes",), ("--sizes",))
RUNS = 3


def shown(trace: Path, trees: Mapping[str, Path], say: Callable[[str], None]) -> None:
    """Tell what the screens of *trace* take by the observers of *trees*, in turn; medians of RUNS."""
    for screen in SCREENS:
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in trees}
        for _ in range(RUNS):
            for name, tree in trees.items():
                found[name].append(_taken([*screen, str(trace.resolve())], tree))
        say(f"  show {' '.join(screen)}")
        for name, taken in found.items():
            seconds, busy, peak = (statistics.median(column) for column in zip(*taken, strict=True))
            say(f"    {name:12}{seconds:8.1f} s, {busy:6.1f} s of processor time, {peak / 1024:6.0f} MB at the most")


def _taken(words: list[str], tree: Path) -> tuple[float, float, float]:
    """Return the seconds, those of processor time, and the KiB of the largest process."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "observer", "show", *words], cwd=tree, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(tree)},
    )  # fmt: skip
    _pid, status, usage = os.wait4(process.pid, 0)
    seconds = time.monotonic() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"bench: show {' '.join(words)} ended with status {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss
