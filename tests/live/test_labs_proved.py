"""Every lab of the package is proved by lint, as whoever runs the tests (`scripts/witness` has several of those)."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.labs.catalogue import packaged_labs
from tests.conftest import FAULT_EVENTS_REFUSED
from tests.live.test_labs import runner
from tests.live.users import workshop

__all__ = ["workshop"]


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [each.name for each in packaged_labs()])
def test_a_packaged_lab_is_proved(workshop: Path, name: str) -> None:
    done = runner(workshop, nobody=False)("lint", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("not verifiable here" in done.stdout) <= bool(FAULT_EVENTS_REFUSED)
