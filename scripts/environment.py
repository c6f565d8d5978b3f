"""The environment of the Python scripts here: the checkout's own, found or made by setup.sh as for scripts/run."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import signal
import sys
from pathlib import Path

__all__ = ["enter_environment"]

SCRIPTS = Path(__file__).resolve().parent
ENTERED = "entered"
"""The interpreter's option -X that says so: unlike a variable, it reaches no program that the script runs."""
ENTER = f'. "$1/setup.sh" && prepare_python && exec "$venv/bin/python" -X {ENTERED} "${{@:2}}"'


def enter_environment(usage: str | None) -> None:
    """Print *usage* and leave where help was asked for; else go on in an interpreter that has the observer's packages.

    To be called before anything of the package is imported. Where this interpreter has no packages, the script begins
    anew in one that does; setup.sh says what it installs, and with status 125 what is missing.
    """
    if {"-h", "--help"} & set(sys.argv[1:]):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # who reads it may leave early
        print((usage or "").strip())
        sys.exit(0)
    if ENTERED not in sys._xoptions and not _has_observer():
        os.execvp("bash", ["bash", "-c", ENTER, sys.argv[0], str(SCRIPTS), *sys.argv])


def _has_observer() -> bool:
    """Say whether this interpreter imports the observer of this checkout, and was given what it depends on."""
    spec = importlib.util.find_spec("observer")
    if spec is None or spec.origin is None or SCRIPTS.parent not in Path(spec.origin).resolve().parents:
        return False
    return any(importlib.metadata.distributions(name="malloc-observer"))
