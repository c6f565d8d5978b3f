"""Whole programs under the observer's two recorders, recorded only, and under each peer that is found here: a table.

A peer that needs longer than LONGEST for one run is given that once, and no other run of this workload.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from operator import add
from pathlib import Path

LONGEST = 15.0
"""Seconds."""

CHURN = r"""
#include <stdlib.h>
int main(int count, char **word)
{
    static void *slot[64];
    unsigned at = 1;
    for (long i = atol(word[1]); i > 0; i--) {
        at = at * 1103515245 + 12345;
        void **one = &slot[at >> 16 & 63];
        free(*one);
        *one = malloc(16 + (at >> 8 & 1023));
        *(volatile char *)*one = 1;
    }
    return 0;
}
"""
TOUCH = r"""
#include <stdlib.h>
int main(void)
{
    size_t size = 256ul << 20;
    char *piece = malloc(size);
    for (size_t i = 0; i < size; i += 4096)
        ((volatile char *)piece)[i] = 1;
    return 0;
}
"""
ROWS = """create table t(a integer primary key, b text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
 insert into t select i, hex(zeroblob(i % 97)) from n;
create index x on t(b); select count(*), sum(length(b)) from t group by b order by 2 desc limit 5;
"""
COUNTING = """
uprobe:libc:malloc { @calls[ustack(1)] = count(); @bytes = sum(arg0); }
uprobe:libc:free { @freed = count(); }
"""
"""What bpftrace is asked: how often, how much, and by whom."""


def workloads(folder: Path, samples: Path) -> dict[str, list[str]]:
    """Return the programs that are here, each as a command."""
    for name, text in (("churn", CHURN), ("touch", TOUCH)):
        (folder / f"{name}.c").write_text(text)
        subprocess.run(["gcc", "-O1", "-g", "-o", folder / name, folder / f"{name}.c"], check=True)
    (folder / "rows.sql").write_text(ROWS)
    numbers = "\n".join(f"int f{i}(int x) {{ return x * {i} + f{i - 1}(x); }}" for i in range(1, 1500))
    (folder / "unit.c").write_text(f"static int f0(int x) {{ return x; }}\n{numbers}\n")
    python = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
    made = {
        "churn, 1 M pairs": [str(folder / "churn"), "1000000"],
        "sqlite3, 200,000 rows": ["sqlite3", ":memory:", f".read {folder / 'rows.sql'}"],
        "python3, json": [
            python,
            "-S",
            "-c",
            "import json; d = [{'a': i} for i in range(9999)]; json.loads(json.dumps(d))",
        ],
        "gcc -c": ["gcc", "-O1", "-c", str(folder / "unit.c"), "-o", str(folder / "unit.o")],
        "git log --stat": ["git", "-C", str(Path(__file__).parent), "log", "--stat", "-60"],
        "8 threads, 320,000 calls": [str(samples / "hammer"), "8", "20000"],
        "touching 256 MB": [str(folder / "touch")],
    }
    return {name: words for name, words in made.items() if shutil.which(words[0])}


def peers(folder: Path) -> dict[str, Callable[[list[str]], list[str]]]:
    """Return the peers that are here, each as what makes a command of a program's."""
    dhat = ["valgrind", "--tool=dhat", f"--dhat-out-file={folder / 'dhat'}", "-q", "--trace-children=yes"]
    known = {
        "heaptrack": ["heaptrack", "-o", str(folder / "heaptrack")],
        "valgrind dhat": dhat,
        "strace -f": ["strace", "-f", "-o", str(folder / "strace"), "-e", "trace=%memory"],
        "perf record": ["perf", "record", "-q", "-o", str(folder / "perf"), "-e", "page-faults", "-c", "1", "-g"],
        "uftrace": ["uftrace", "record", "-d", str(folder / "uftrace"), "--force", "--no-libcall"],
        "ltrace": ["ltrace", "-f", "-o", str(folder / "ltrace"), "-e", "malloc+free+calloc+realloc"],
    }
    found = {name: partial(add, words) for name, words in known.items() if shutil.which(words[0])}
    if shutil.which("bpftrace") and os.geteuid() == 0:
        found["bpftrace"] = partial(_by_bpftrace, folder)
    return found


def _by_bpftrace(folder: Path, words: list[str]) -> list[str]:
    """Return the command for *words*, which bpftrace takes as one, without quotes."""
    script = folder / "program"
    script.write_text(f"exec {shlex.join(words)}\n")
    return ["bpftrace", "-o", str(folder / "bpftrace"), "-e", COUNTING, "-c", f"/bin/sh {script}"]


def timed(words: list[str], environment: Mapping[str, str]) -> float | None:
    """Return how many seconds *words* take; None if it is longer than LONGEST."""
    began = time.monotonic()
    process = subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(environment),
        start_new_session=True,
    )  # fmt: skip
    try:
        process.wait(LONGEST)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return None
    return time.monotonic() - began


class Observed:
    """The observer, told to record as *recorder*: its whole run, and how long the program itself ran."""

    def __init__(self, folder: Path, recorder: str, *options: str) -> None:
        self._trace = folder / f"{recorder}.trace"
        self._words = [
            sys.executable, "-m", "observer", "run", "-q", "--force", "-o", str(self._trace), "--recorder", recorder,
            *options, "--",
        ]  # fmt: skip

    def run(self, words: list[str], environment: Mapping[str, str]) -> tuple[float, float] | None:
        """Return (seconds of the program, seconds to the prompt), None if it took too long."""
        whole = timed([*self._words, *words], environment)
        if whole is None:
            return None
        meta = json.loads((self._trace / "meta.json").read_text())
        return meta["outcome"]["seconds"], whole


def compared(folder: Path, samples: Path, runs: int, say: Callable[[str], None]) -> None:
    """Measure and print."""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    others, programs = peers(folder), workloads(folder, samples)
    observers = {
        "inline": Observed(folder, "inline"), "only": Observed(folder, "inline", "--record-only"),
        "breakpoint": Observed(folder, "breakpoint"),
    }  # fmt: skip
    columns = ["native", "inline: run", "to prompt", "recorded only: run", "to prompt"]
    columns += ["breakpoints: run", "to prompt", *others]
    say(f"{platform.machine()}, Linux {platform.release()}, {os.cpu_count()} processors; medians of {runs} runs,")
    say(f"in turn, in seconds, and how many times native; 'long' is longer than {LONGEST:.0f} s, tried once.")
    for how, observer in (("", observers["inline"]), (", recorded only", observers["only"])):
        starts = [told for _ in range(runs) if (told := observer.run(["/bin/true"], environment)) is not None]
        run, whole = (statistics.median(told[part] for told in starts) for part in (0, 1))
        say(f"Its start is in its figures: /bin/true{how} takes {run:.2f} s there, {whole:.2f} s to the prompt.")
    say("")
    say("| | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns))
    for name, words in programs.items():
        found: dict[str, list[float] | None] = {column: [] for column in ("native", *others)}
        told: dict[str, list[tuple[float, float]] | None] = {column: [] for column in observers}
        for _ in range(runs):
            for column in found:
                _add(found, column, timed(others[column](words) if column in others else words, environment))
            for column, observer in observers.items():
                if told[column] is not None:
                    _add(told, column, observer.run(words, environment))
        native = statistics.median(found["native"] or [0.0])
        cells = [f"{native:.2f}"]
        for column in observers:
            both = told[column]
            for part in (0, 1):
                cells.append(_cell([each[part] for each in both] if both else None, native))
        cells += [_cell(found[column], native) for column in others]
        say(f"| {name} | " + " | ".join(cells) + " |")
    most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    say(f"\nThe largest process of all had {most:.0f} MB.")


def _add(table: dict, column: str, value: object) -> None:
    if table[column] is None:
        return
    if value is None:
        table[column] = None
    else:
        table[column].append(value)


def _cell(values: list[float] | None, native: float) -> str:
    if not values:
        return "long"
    middle = statistics.median(values)
    return f"{middle:.2f} ({middle / native:.1f}×)"
