"""What was planted and exchanged can be taken out again in the middle of a run, and the program goes on unharmed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.recordings import PATCHED, environment_of_commands

JUMPS = (Path(__file__).parent / "jumps.c").read_text()
TAKING_OUT = """
import os, sys
from observer.cli.main import main
from observer.instruments.images import Images
from observer.instruments.watch import Watch
from observer.linux.procfs import read_mappings

hit, hits, wanted, told = Watch.breakpoint_hit, 0, int(sys.argv[1]), sys.argv[2]
let_go = set()

def changed(task):
    count = 0
    for mapping in read_mappings(task.tid):
        if mapping.inode and "x" in mapping.protection:
            with open(mapping.path, "rb") as file:
                there = os.pread(file.fileno(), mapping.size, mapping.offset)
            here = task.memory.read(mapping.start, len(there))
            count += sum(one != other for one, other in zip(here, there))
    return count

def taking_out(self, task, registers):
    global hits
    ours = hit(self, task, registers)
    hits += ours
    if hits == wanted and ours:
        let_go.add(task.pid)
        before = changed(task)
        self._follower.take_out(task.memory, [task])
        Images._plant = lambda *image: None  # in libraries that are loaded later
        with open(told, "w") as file:
            print(before > 0, changed(task), task.memory.exchanged, file=file)
    elif ours and task.pid in let_go:
        with open(told, "a") as file:
            print("hit again", task.tid, file=file)
    return ours

Watch.breakpoint_hit = taking_out
sys.exit(main(sys.argv[3:]))
"""


BREAKPOINTS = [
    (hits, "breakpoint", selection) for hits in (1, 6, 7, 13, 14, 17)
    for selection in ("trace=memory", "library", "trace=all,library")
]  # fmt: skip
# Inline there are few stops before the program has threads, all of which would have to be stopped.
INLINE = [(hits, "inline", "trace=memory") for hits in (1, 2, 3, 4, 5)]


@pytest.mark.parametrize(("hits", "recorder", "selection"), BREAKPOINTS + INLINE)
def test_taken_out_at_any_stop_the_program_ends_as_it_would(
    hits: int, recorder: str, selection: str, tmp_path: Path
) -> None:  # fmt: skip
    program = compile_c(JUMPS, tmp_path / "jumps")
    alone = subprocess.run([program], capture_output=True, text=True, check=False)
    told = tmp_path / "told"
    words = [
        str(hits),
        str(told),
        "run",
        "-q",
        "--allow-loss",
        "--recorder",
        recorder,
        "-e",
        selection,
        "-o",
        str(tmp_path / "trace"),
    ]
    done = subprocess.run(
        [sys.executable, "-c", TAKING_OUT, *words, "--", program],
        capture_output=True, text=True, check=False, env={**environment_of_commands(), **PATCHED}, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (alone.returncode, alone.stdout), done.stderr
    assert told.read_text().split(os.linesep)[0] == "True 0 {}"
    assert "hit again" not in told.read_text()
