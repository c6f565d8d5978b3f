"""Files that others can reach: no link is followed, nobody is waited for, what is written is whole."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from observer.cli.command import shortest
from observer.files import Folder, NewFile, open_regular, real_path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    (tmp_path / "plain").write_bytes(b"one\ntwo\n")
    (tmp_path / "link").symlink_to("plain")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "within").mkdir()
    return Folder.open(tmp_path)


def test_a_regular_file_is_read_within_limits(folder: Folder) -> None:
    assert folder.read("plain", 8) == b"one\ntwo\n"
    assert list(folder.file("plain").lines(100)) == [b"one\n", b"two\n"]
    assert list(folder.file("plain").lines(3)) == [b"one", b"\n", b"two", b"\n"]
    with pytest.raises(OSError, match="its 8 bytes are more than 7"):
        folder.read("plain", 7)


@pytest.mark.parametrize(
    ("name", "why"), [("link", "a link, which is not followed"), ("pipe", "not a regular file"), ("within", "regular")]
)
def test_nothing_else_is_opened(name: str, why: str, folder: Folder) -> None:
    with pytest.raises(OSError, match=why):
        folder.file(name)
    assert not folder.has(name)
    assert folder.has("plain")


def test_what_a_user_names_may_be_a_link_but_no_pipe(folder: Folder) -> None:
    with open_regular(folder.path / "link") as file:
        assert file.read() == b"one\ntwo\n"
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(folder.path / "pipe")


def test_a_link_is_replaced_not_what_it_leads_to(folder: Folder) -> None:
    folder.replace("link", b"new")
    assert folder.read("link", 9) == b"new"
    assert folder.read("plain", 9) == b"one\ntwo\n"


def write_half(folder: Folder) -> None:
    with folder.replacing("plain") as file:
        file.append(b"half")
        raise ZeroDivisionError


def test_what_fails_leaves_the_old_and_no_part_of_the_new(folder: Folder) -> None:
    before = folder.names()
    with pytest.raises(ZeroDivisionError):
        write_half(folder)
    assert folder.names() == before
    assert folder.read("plain", 9) == b"one\ntwo\n"


def test_a_folder_that_moved_is_still_this_folder(tmp_path: Path) -> None:
    folder = Folder.make(tmp_path / "here")
    file = NewFile(folder, "kept")
    (tmp_path / "here").rename(tmp_path / "there")
    file.append(b"text")
    assert (tmp_path / "there" / "kept").read_bytes() == b"text"
    assert file.is_as_written()
    assert not folder.is_at_its_path()
    file.close()


def test_strangers_are_known_by_name(folder: Folder) -> None:
    folder.replace("mine", b"")
    folder.make_folder("also mine")
    assert folder.strangers() == ["link", "pipe", "plain", "within"]


def test_a_folder_within_is_opened_unless_it_is_a_link(folder: Folder) -> None:
    (folder.path / "away").symlink_to("within")
    assert folder.folder("within").names() == frozenset()
    with pytest.raises(NotADirectoryError):
        folder.folder("away")


def test_the_name_of_what_is_not_whole_is_known(folder: Folder) -> None:
    with folder.replacing("plain") as file:
        assert file.name != "plain"
        assert folder.whole_name(file.name) == "plain"
    assert [folder.whole_name(name) for name in ("plain", "a.partial", "film.mkv.partial")] == [
        "plain", "a.partial", "film.mkv.partial",
    ]  # fmt: skip


def test_a_real_path_is_had_of_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "loop").symlink_to("loop")
    assert real_path(tmp_path / "link") == real_path(tmp_path / "file")
    assert real_path(tmp_path / "loop").name == "loop"
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert real_path(Path("x")) == Path("x")
    assert shortest("x") == "x"
