"""A new folder is filled or not there; nobody else's file is lost for it."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from observer.errors import BadLab
from observer.labs.catalogue import find_lab
from observer.labs.new_folder import new_folder
from observer.labs.packaging import make_package


def fill(folder: Path, error: BaseException) -> None:
    with new_folder(folder, "another folder"):
        (folder / "file").write_text("half of it")
        raise error


@pytest.mark.parametrize(
    ("error", "why", "remedy"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device", "free space on that disk"),
        (OSError("odd"), "odd", "another folder"),
        (
            shutil.Error([("a", "b", "[Errno 28] No space left on device: 'a' -> 'b'"), ("c", "d", "[Errno 5] x")]),
            "No space left on device", "another folder",
        ),
    ],
)  # fmt: skip
def test_one_that_cannot_be_filled_is_removed_and_the_reason_is_short(
    tmp_path: Path, error: OSError, why: str, remedy: str
) -> None:
    with pytest.raises(BadLab) as raised:
        fill(tmp_path / "lab", error)
    assert (raised.value.why, raised.value.remedy) == (why, remedy)
    assert os.listdir(tmp_path) == []


def test_an_interrupt_leaves_nothing_either(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fill(tmp_path / "lab", KeyboardInterrupt())
    assert os.listdir(tmp_path) == []


def test_one_that_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    with pytest.raises(BadLab, match=r"cannot make .*: File exists"):
        fill(tmp_path, ValueError())
    assert (tmp_path / "file").read_text() == "precious"


def test_an_archive_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "it.zip").write_text("precious")
    with pytest.raises(BadLab, match=r"it\.zip exists"):
        make_package(find_lab("leak_hunt"), "gradescope", tmp_path / "it")
    assert (tmp_path / "it.zip").read_text() == "precious"
    assert os.listdir(tmp_path) == ["it.zip"]
