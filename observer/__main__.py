"""The command `observer`, also as `python -m observer`."""

import atexit
import os
import sys
from typing import NoReturn

from observer.cli.main import main

__all__ = ["command"]


def command() -> NoReturn:
    """Run the command line, and end the process as it stands: Python takes a while to take everything apart first."""
    status = main()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


if __name__ == "__main__":
    command()
