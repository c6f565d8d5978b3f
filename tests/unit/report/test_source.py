"""Source lines are found where the program was compiled, and nothing else is read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.model.events import Site
from observer.model.machine import Image
from observer.report.source import Sources

BUILT = 2_000_000_000_000_000_000


def line(path: Path, *, changed: int = BUILT - 7, module: str = "story") -> str:
    path.write_text("int main(void)\n{\n    return 3;\n}\n")
    os.utime(path, ns=(changed, changed))
    image = Image("/home/ada/story", 0, 0, 4096, file=(1, 2, 3, BUILT))
    return Sources(None, [image]).line(Site("main", str(path), 3, module, 0))


def test_the_line_stands_where_the_debug_information_says(tmp_path: Path) -> None:
    assert line(tmp_path / "story.c") == "return 3;"


@pytest.mark.parametrize("name", ["passwd", "notes.txt", "story"])
def test_what_is_no_source_file_by_its_name_is_not_read(tmp_path: Path, name: str) -> None:
    assert line(tmp_path / name) == ""


def test_a_file_that_was_changed_after_the_program_was_built_is_not_told(tmp_path: Path) -> None:
    assert line(tmp_path / "story.c", changed=BUILT + 1) == ""


def test_a_line_of_a_module_that_the_trace_does_not_know_is_not_told(tmp_path: Path) -> None:
    assert line(tmp_path / "story.c", module="another") == ""


def test_a_device_or_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "story.c")
    assert Sources(None).line(Site("main", str(tmp_path / "story.c"), 3, "story", 0)) == ""
