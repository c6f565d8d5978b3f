"""Files that are asked for with -o: whole or not at all, and nothing else is lost for them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from observer.cli.output import check_folder, written
from observer.errors import ObserverError
from tests.builders import story_run
from tests.unit.trace.test_tables import part_of
from tests.unit.trace.written import trace_of


def break_off(target: Path) -> None:
    with written(target) as out:
        out.write(b"half of it")
        out.flush()
        raise ValueError("in the midst")


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    target = tmp_path / "run.jsonl"
    target.write_text("years of work")
    with pytest.raises(ValueError, match="in the midst"):
        break_off(target)
    assert target.read_text() == "years of work"
    with written(target) as out:
        out.write(b"all of it")
    assert target.read_text() == "all of it"
    assert os.listdir(tmp_path) == ["run.jsonl"]


def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, link = tmp_path / "victim", tmp_path / "link"
    victim.write_text("precious")
    link.symlink_to(victim)
    with written(str(link)) as out:
        out.write(b"new")
    assert (victim.read_text(), link.read_text(), link.is_symlink()) == ("precious", "new", False)


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    with written(pipe) as out:
        out.write(b"through it")
    reader.join()
    assert found == [b"through it"]
    assert pipe.is_fifo()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a device, or take the place of one")
def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    device = tmp_path / "null"
    os.mknod(device, 0o600 | 0o020000, os.makedev(1, 3))
    try:
        probe = os.open(device, os.O_WRONLY)
    except PermissionError:
        pytest.skip("devices may not be opened here")
    os.close(probe)
    with written(device) as out:
        out.write(b"gone")
    assert device.is_char_device()


def test_our_own_stream_is_written_to_by_whatever_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with written("/dev/stdout") as out:
        out.write(b"told")
    assert Path("/dev/stdout").is_symlink()
    assert capfd.readouterr().out == "told"


@pytest.mark.parametrize("name", [".", "gone/run.jsonl", "file/run.jsonl"])
def test_what_cannot_be_written_is_said(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ObserverError, match=f"cannot write .*{name}"), written(tmp_path / name):
        pass


def test_a_folder_is_looked_at_before_work_is_done(tmp_path: Path) -> None:
    check_folder(tmp_path / "new")
    with pytest.raises(ObserverError, match=r"cannot write .*: No such file or directory"):
        check_folder(tmp_path / "gone" / "new")


def test_no_part_of_a_trace_is_replaced(tmp_path: Path) -> None:
    trace_of([part_of(story_run())], tmp_path)
    before = (tmp_path / "calls.parquet").read_bytes()
    for name in ("calls.parquet", "meta.json"):
        with pytest.raises(ObserverError, match=f"{name} is not replaced: it is a part of a trace"):
            break_off(tmp_path / name)
    assert (tmp_path / "calls.parquet").read_bytes() == before
    (tmp_path / "meta.json").unlink()
    with written(tmp_path / "calls.parquet") as out:
        out.write(b"of no trace")
