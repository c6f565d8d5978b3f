"""Modules that can be read at one sitting."""

from __future__ import annotations

from tests.architecture.house import modules

MOST_LINES = 400


def test_no_module_is_longer_than_400_lines() -> None:
    lengths = {module.name: len(module.path.read_text(encoding="utf-8").splitlines()) for module in modules()}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}
