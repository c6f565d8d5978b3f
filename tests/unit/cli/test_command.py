"""The command as a process: it ends as it stands, and nothing that was to be done by then is left out."""

from __future__ import annotations

import subprocess
import sys

import pytest

WORDS = """
import atexit, sys
from observer.__main__ import command

class Torn:
    def __del__(self):
        print("taken apart")

torn = Torn()
atexit.register(print, "at the end")
sys.argv[1:] = {0}
command()
"""


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["--help"], 0), (["nonsense"], 2)])
def test_it_ends_with_all_that_was_said_and_takes_nothing_apart(words: list[str], status: int) -> None:
    code = WORDS.replace("{0}", repr(words))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout.endswith("at the end\n")
    assert "taken apart" not in done.stdout
    assert bool(done.stderr) == bool(status)
