"""A disk on which there is little room."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Callable[[], None]]:
    """Give *folder* so much room; yield what gives it more."""
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k,mode=777", "tmpfs", folder], check=False)
    if done.returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield lambda: subprocess.run(["mount", "-o", "remount,size=100m", folder], check=True) and None
    finally:
        subprocess.run(["umount", folder], check=True)
