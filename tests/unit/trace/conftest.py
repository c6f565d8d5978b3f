"""A recorder that writes into a fresh folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.trace.spooling import Recorder


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    """Return an empty recorder."""
    return Recorder(tmp_path / "spool")
