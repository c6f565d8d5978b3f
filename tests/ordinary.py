"""Commands as an ordinary user (uid nobody), whoever runs the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.recordings import ORDINARY

__all__ = ["NO_HOME", "PREFIX", "PYTHON", "open_to_everyone"]

_DEEPEST: Final = 3  # a worker's folder, the session's, the user's
ROOT: Final = Path(__file__).resolve().parent.parent
PREFIX: Final = ORDINARY if os.geteuid() == 0 else []
"""What comes before a command."""
NO_HOME: Final = "HOME=/proc/nowhere"
"""A home folder that nobody can make, not even root: tests expect that `/nonexistent` does not exist."""


def _python_for_everyone() -> tuple[str, str] | None:
    """Return (interpreter, PYTHONPATH) that uid nobody may run: ours, or the system's of the same version with our packages."""
    packages = [path for path in sys.path if path.endswith("site-packages")]
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for python in (sys.executable, f"/usr/bin/{version}"):
        path = os.pathsep.join([str(ROOT), *packages])
        words = [python, "-c", "import observer.cli.run, duckdb, capstone, ptrace"]
        probe = [*ORDINARY, "env", f"PYTHONPATH={path}", *words]
        if shutil.which(python) and subprocess.run(probe, capture_output=True, check=False, cwd="/").returncode == 0:
            return python, path
    return None


PYTHON: Final = (
    _python_for_everyone() if os.geteuid() == 0 else (sys.executable, os.pathsep.join([str(ROOT), *sys.path]))
)
"""The interpreter and its PYTHONPATH; None where uid nobody may run none that has the packages."""


def open_to_everyone(folder: Path) -> None:
    """Let everyone write into *folder*, a temporary one of pytest, and reach it."""
    folder.chmod(0o777)
    for place in list(folder.parents)[:_DEEPEST]:
        if place == Path(tempfile.gettempdir()):
            return
        place.chmod(place.stat().st_mode | 0o055)
