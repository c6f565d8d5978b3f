"""The table of the chapter's concepts: every one of them shown on this machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from observer.model.chapter import CONCEPTS
from tests.recordings import environment_of_commands

SCRIPT = Path(__file__).resolve().parent.parent.parent / "scripts" / "chapter"


def test_every_concept_of_the_chapter_is_shown_here() -> None:
    done = subprocess.run(
        [sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False, env=environment_of_commands()
    )
    rows = [line.split() for line in done.stdout.splitlines()[1:] if not line.startswith(" ")]
    assert {row[0]: row[2] for row in rows} == dict.fromkeys(CONCEPTS, "shown"), done.stdout
    assert done.returncode == 0
