"""`observer simulate` tells a workload as a run is told, and names the line of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from observer.cli.main import main


def simulate(text: bytes, folder: Path, *options: str) -> int:
    (folder / "w").write_bytes(text)
    return main(["simulate", str(folder / "w"), *options])


def test_the_story_and_the_sums_are_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert simulate(b"malloc a 100\ntouch a\n", tmp_path) == 0
    out = capsys.readouterr().out
    assert "1-2-3-4-5" in out
    assert "1 allocator calls, 1 asked the kernel" in out


@pytest.mark.parametrize("text", [b"free a\n", b"\xff\xfe\x00", b"malloc a\n", b"x" * 1_000_000])
def test_what_is_no_workload_is_an_error_with_its_line(
    text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert simulate(text, tmp_path) == 2
    error = capsys.readouterr().err
    assert "line 1" in error
    assert "Traceback" not in error
