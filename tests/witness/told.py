"""What a sample says of itself, run on its own."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence

from tests.recordings import environment_of_commands


def facts_of(text: str) -> dict[str, str]:
    """Return the facts in a sample's output, in their order."""
    rows = [line.split(None, 2) for line in text.splitlines() if line.startswith("fact ")]
    return {row[1]: row[2] for row in rows}


def told_by(command: Sequence[str], *, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Run a sample that ends well; return its facts."""
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
        env={**environment_of_commands(), **(environment or {})},
    )  # fmt: skip
    assert done.returncode == 0, (command, done.returncode, done.stderr)
    return facts_of(done.stdout)
