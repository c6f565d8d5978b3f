"""Files that a program gives are copied by another thread, which nobody waits for longer than a while."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from observer.code import fetching
from observer.code.fetching import copied, fetched, is_served_by_a_program

CONTENT = bytes(range(256)) * 4099


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(CONTENT)
    return tmp_path / "file"


def content_of(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as opened:
        return os.pread(descriptor, len(CONTENT) + 1, 0) if opened else b""


def test_a_copy_is_what_the_file_was(file: Path) -> None:
    with file.open("rb") as opened:
        copy = copied(opened.fileno())
    file.write_bytes(b"other")
    assert content_of(copy) == CONTENT


def test_a_file_is_fetched_with_its_status(file: Path) -> None:
    status, copy = fetched(lambda: os.open(file, os.O_RDONLY), is_here=lambda _status: False)
    assert (status.st_ino, status.st_size) == (file.stat().st_ino, len(CONTENT))
    assert content_of(copy) == CONTENT


def test_what_is_here_is_not_copied(file: Path) -> None:
    status, copy = fetched(lambda: os.open(file, os.O_RDONLY), is_here=lambda status: status.st_size == len(CONTENT))
    assert (status.st_ino, copy) == (file.stat().st_ino, -1)


def test_what_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        fetched(lambda: os.open(tmp_path / "none", os.O_RDONLY), is_here=lambda _status: False)


def test_nobody_waits_for_what_does_not_come_and_nothing_is_left_of_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_PATIENCE", 0.01)
    answers, before = threading.Event(), len(os.listdir("/proc/self/fd"))

    def opened_late() -> int:
        answers.wait()
        return os.open(file, os.O_RDONLY)

    with pytest.raises(TimeoutError, match="did not answer"):
        fetched(opened_late, is_here=lambda _status: False)
    answers.set()
    for thread in threading.enumerate():
        if thread.name == "fetch":
            thread.join()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_root_is_no_programs_and_neither_is_what_is_not_mounted() -> None:
    assert not is_served_by_a_program(os.getpid(), os.stat("/").st_dev)
    assert not is_served_by_a_program(os.getpid(), os.stat("/proc").st_dev)
    assert not is_served_by_a_program(os.getpid(), os.makedev(0, (1 << 20) - 1))


@pytest.mark.parametrize(
    ("kind", "is_served"), [(b"fuse", True), (b"fuse.sshfs", True), (b"fuseblk", True), (b"xfs", False)]
)
def test_what_serves_is_told_by_the_kind_of_the_mount(
    kind: bytes, is_served: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_bytes(b"36 35 0:97 / /mnt rw,noatime master:1 - %s source rw\n" % kind)
    monkeypatch.setattr(fetching, "_MOUNTS", str(mounts))
    assert is_served_by_a_program(os.getpid(), os.makedev(0, 97)) is is_served
