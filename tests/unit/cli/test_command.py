"""Commands that are named are ones that can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.cli.command import command, shortest


def test_the_name_is_enough_where_path_leads_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "observer"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setattr("sys.argv", [str(tool)])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command() == "observer"
    monkeypatch.setenv("PATH", "/usr/bin")
    monkeypatch.chdir(tmp_path)
    assert command() == "./observer"
    (tmp_path / "a b").mkdir()
    monkeypatch.chdir(tmp_path / "a b")
    assert command() == "../observer"


def test_run_as_a_module_it_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/usr/lib/observer/__main__.py"])
    assert command() == "observer"


def test_the_shorter_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortest(tmp_path / "build" / "story.trace") == "build/story.trace"
    assert shortest("story.trace") == "story.trace"
    assert shortest("/bin/true") == "/bin/true"


def test_no_path_is_taken_for_an_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shortest("./-n.trace") == "./-n.trace"
