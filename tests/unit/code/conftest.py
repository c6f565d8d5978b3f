"""One small program, compiled once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.unit.code.compiled import PROGRAM, compile_c


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small program with symbols and line tables."""
    if shutil.which("gcc") is None:
        pytest.skip("no C compiler")
    return compile_c(tmp_path_factory.mktemp("program"), "small", PROGRAM, "-g", "-O1", "-Wl,--build-id=sha1")
