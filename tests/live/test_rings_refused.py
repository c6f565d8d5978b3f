"""Rings before there are events, and where there are none: the threads beside them go on."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.live.programs import compile_c
from tests.live.test_hard_cases import HEAD, ROOT
from tests.recordings import OBSERVER

# The thread that looks every 50 ms comes by between the making of the rings and their events.
LATE = """
import time
begin = f.FaultInstrument.start
def start(self, tid):
    time.sleep(0.3)
    begin(self, tid)
f.FaultInstrument.start = start
"""
REFUSED = """
import errno
def refuse(self, processor, pages):
    raise PermissionError(errno.EACCES, "refused")
r.Rings._ring = refuse
"""


@pytest.mark.parametrize("change", [LATE, REFUSED], ids=["events come late", "no ring is allowed"])
def test_threads_beside_the_rings_go_on(tmp_path: Path, change: str) -> None:
    program = compile_c(HEAD + "int main(void) { free(malloc(24)); return 3; }", tmp_path / "program")
    changed = f"import sys, observer.instruments.faults as f, observer.instruments.rings as r\n{change}\n"
    changed += "from observer.cli.main import main\nsys.exit(main())"
    words = [OBSERVER[0], "-c", changed, "run", "-q", "--recorder", "breakpoint", "-o", str(tmp_path / "trace")]
    done = subprocess.run(
        [*words, "--", program], cwd=ROOT, capture_output=True, text=True, check=False,
        env={**os.environ, "OBSERVER_COMPILED": "no"},
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    assert done.returncode == 3
