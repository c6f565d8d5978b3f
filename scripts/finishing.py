"""Spools of millions of calls, made up from those of a small run; and what finishes them, to be timed."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np

__all__ = ["FINISH", "enlarge", "record"]

PROGRAM = """
#include <stdlib.h>
int main(void) { for (int i = 0; i < 50; i++) free(malloc(100 + i)); return 0; }
"""
SLOTS = 1024
STEP = 3000  # ns from one call to the next
MAPPED_PAGES = 100

LEAVE_SPOOLS = """
import sys
from observer.cli.main import main
from observer.runs import record
def leave(*_given):
    raise SystemExit(0)
record.finish = leave
sys.exit(main(["run", "-q", "-o", *sys.argv[1:]]))
"""

FINISH = """
import resource, sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from observer.files import Folder
from observer.report import terminal
from observer.trace import finish
from observer.trace.kept import read_kept
from observer.trace.reader import Trace, read_meta
directory = Path(sys.argv[1])
folder = Folder.open(directory)
meta, recording = read_meta(folder), read_kept(folder.folder("spool"))
console = terminal.make_console(open("/dev/null", "w"))
began = time.perf_counter()
try:
    from observer.report.glance import print_glance
    from observer.runs.sources import Sources
    from observer.runs.told import Glanced
except ImportError:  # an older tree: it tells the story, and each asks the tables again
    from observer.cli import run
    meta = finish.finish(folder, meta.machine, meta.request, recording)
    meta = run._with_sources(meta, directory)
    terminal.tell(console, meta, Trace.open(directory).events(), directory=directory)
else:
    glanced = Glanced()
    meta = finish.finish(folder, meta.machine, meta.request, recording, [Sources(), glanced])
    print_glance(console, meta, glanced.glance, directory)
print(time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, meta.outcome.events)
"""
"""Prints the seconds from the end of a program to the end of the tool, peak memory in KiB, and events."""


def record(folder: Path) -> Path:
    """Record a small run in *folder* and leave it as it is when its program has ended."""
    source, program, base = folder / "small.c", folder / "small", folder / "base"
    source.write_text(PROGRAM)
    subprocess.run(["gcc", "-g", "-O0", "-fno-builtin", "-o", str(program), str(source)], check=True)
    subprocess.run([sys.executable, "-c", LEAVE_SPOOLS, str(base), "--", str(program)], check=True)
    return base


def enlarge(base: Path, target: Path, calls: int, faults: int) -> None:
    """Make *target* of *base*: with so many calls, as the model of glibc answers them, and page faults on mappings."""
    shutil.copytree(base, target)
    spool = target / "spool"
    made = _Made(spool)
    made.calls(calls, faults)
    made.close()
    _stretch_notes(spool, made)


class _Made:
    def __init__(self, spool: Path) -> None:
        from observer.model.operations import FAMILY
        from observer.recording.records import CALL, SYSCALL
        from observer.simulator.glibc.kernel import SimulatedKernel
        from observer.simulator.glibc.malloc import Glibc

        calls = np.fromfile(spool / "calls.bin", dtype=CALL.dtype)
        syscalls = np.fromfile(spool / "syscalls.bin", dtype=SYSCALL.dtype)
        first = next(i for i, record in enumerate(syscalls) if record["began"] > calls[0]["began"])
        operations = {operation.name: number for number, operation in enumerate(FAMILY)}
        self._malloc, self._free = operations["malloc"], operations["free"]
        self._call = {int(record["op"]): record.copy() for record in calls}
        self._syscall, self.syscalls = syscalls[first].copy(), first
        self._calls = (spool / "calls.bin").open("wb")
        self._syscalls = (spool / "syscalls.bin").open("wb")
        self._syscalls.write(syscalls[:first].tobytes())
        samples = next(path for path in spool.glob("faults.*.bin") if path.stat().st_size)
        size = struct.unpack_from("<IHH", samples.read_bytes())[2]
        self._sample = samples.read_bytes()[-size:]
        self._faults = samples.open("ab")
        self._task = int(calls[0]["pid"])
        self._model = Glibc(
            "2.36", main_task=self._task, kernel=SimulatedKernel(int(self._syscall["result"]), top=0x7F00_0000_0000),
            touches=False,
        )  # fmt: skip
        self.began = self.now = int(calls[0]["began"])
        self.made = self.faults = 0

    def calls(self, count: int, faults: int) -> None:
        """Make so many calls: pieces of up to 2 KiB in a thousand places, and large ones that are touched."""
        places, seed = [0] * SLOTS, 1
        every = count * MAPPED_PAGES // faults if faults else 0
        while self.made < count:
            seed = (seed * 1664525 + 1013904223) & 0xFFFF_FFFF
            place = (seed >> 20) % SLOTS
            self._do(self._free, places[place])
            places[place] = self._do(self._malloc, 16 + (seed >> 8) % 2048)
            if every and self.faults < faults and self.made * faults >= self.faults * count:
                self._touch(self._do(self._malloc, MAPPED_PAGES * 4096))

    def _do(self, op: int, argument: int) -> int:
        outcome = self._model.malloc(argument) if op == self._malloc else self._model.free(argument)
        record = self._call[op]
        record["began"], record["ended"], record["a0"], record["result"] = (
            self.now,
            self.now + 1500,
            argument,
            outcome.pointer,
        )
        for i, asked in enumerate(outcome.asks):
            self._ask(asked, self.now + 100 * i + 100)
        self._calls.write(record.tobytes())
        self.now += STEP
        self.made += 1
        return outcome.pointer

    def _ask(self, asked, began: int) -> None:
        from observer.arch.x86_64 import X86_64

        record = self._syscall
        (record["number"],) = X86_64.numbers(asked.name)
        words = (*asked.arguments, *(((1 << 64) - 1, 0) if asked.name == "mmap" else ()), *[0] * 6)
        for i in range(6):
            record[f"a{i}"] = words[i]
        record["began"], record["ended"], record["result"] = began, began + 50, asked.result
        self._syscalls.write(record.tobytes())
        self.syscalls += 1

    def _touch(self, pointer: int) -> None:
        """Fault on each page of a mapped piece, then give it back."""
        from observer.linux.perf import FAULT_FIELDS

        layout = np.dtype(FAULT_FIELDS)
        head = np.frombuffer(self._sample[: layout.itemsize], dtype=layout)[0].copy()
        for page in range(MAPPED_PAGES):
            head["time"], head["address"] = self.now + page, (pointer & -4096) + 4096 * page
            self._faults.write(head.tobytes() + self._sample[layout.itemsize :])
        self.now += STEP
        self.faults += MAPPED_PAGES
        self._do(self._free, pointer)

    def close(self) -> None:
        """Write out what is left."""
        for file in (self._calls, self._syscalls, self._faults):
            file.close()


def _stretch_notes(spool: Path, made: _Made) -> None:
    """Let the program end behind the last call, with the counts that there are now."""
    notes = [json.loads(line) for line in (spool / "notes.jsonl").read_text().splitlines()]
    for note in notes:
        if note["what"] in ("exiting", "end", "gone"):
            note["t"] = made.now + STEP
        note["minor"] = note.get("minor", 0) + made.faults if note["what"] == "exiting" else note.get("minor", 0)
    (spool / "notes.jsonl").write_text("".join(json.dumps(note) + "\n" for note in notes))
    kept = json.loads((spool / "recording.json").read_text())
    totals = kept["totals"]
    totals |= dict.fromkeys(("calls", "calls_begun", "calls_returned"), made.made)
    totals |= dict.fromkeys(("syscalls", "syscalls_entered", "syscalls_left"), made.syscalls)
    totals |= {name: totals[name] + made.faults for name in ("faults_counted", "faults_with_failed")}
    kept["seconds"] = (made.now - made.began) / 1e9
    (spool / "recording.json").write_text(json.dumps(kept))
