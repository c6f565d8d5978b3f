"""The program beside a run that asks bcc: what it says, and that whatever it does the run goes on."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from observer.files import Folder
from observer.instruments import bcc
from observer.instruments.bcc import BccWitness, why_not
from observer.recording.records import FRAMES, KERNEL_EVENT, WITNESS

BEGIN = """\
import json, os, sys
status = os.fdopen(int(sys.argv[1]), "w")
if os.fork():
    os._exit(0)
def say(**what):
    print(json.dumps(what), file=status, flush=True)
"""
WORKS = BEGIN + "say(works=True, kprobes_refused='no kprobes')\nfollowed = int(os.read(0, 32))\nsay(works=True)\n"
RECORD = KERNEL_EVENT.packed.pack(7, 3, 3, FRAMES, WITNESS, 0, 0x246F36)


@pytest.fixture
def witness(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BccWitness:
    monkeypatch.setattr(bcc, "_PYTHON", sys.executable)
    monkeypatch.setattr(bcc, "why_not", lambda: None)
    monkeypatch.setattr(bcc, "_PATIENCE", 20.0)
    return BccWitness(Folder.make(tmp_path / "spool"))


def run(witness: BccWitness, program: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    place = folder / "program.py"
    place.write_text(program)
    monkeypatch.setattr(bcc, "_PROGRAM", place)
    witness.prepare()
    witness.settle()
    witness.follow(77)
    return witness.stop()


def test_what_it_writes_is_kept_and_what_it_counted_is_told(
    witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = f"os.write(1, {RECORD!r} * 3)\nos.read(0, 1)\nos.write(1, {RECORD!r})\nsay(counted=followed, lost=5)\n"
    told = run(witness, WORKS + end, tmp_path, monkeypatch)
    assert told == {"bcc_events_counted": 77, "bcc_events_lost": 5}
    assert (witness.refused, witness.kprobes_refused, witness.error) == ("", "no kprobes", None)
    assert (tmp_path / "spool" / "kernel.bin").read_bytes() == RECORD * 4
    assert witness.files[0].is_as_written()


def test_it_is_nobodys_child(witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracer waits for any child of its own and takes it for a tracee."""
    monkeypatch.setattr(bcc, "_PROGRAM", tmp_path / "program.py")
    (tmp_path / "program.py").write_text(WORKS + "os.read(0, 1)\nsay(counted=0, lost=0)\n")
    witness.prepare()
    witness.settle()
    witness.follow(77)
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert witness.stop() == {"bcc_events_counted": 0, "bcc_events_lost": 0}


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (BEGIN + "say(works=False, why='Exception: Failed\\nto compile BPF module')\n", "to compile BPF module"),
        (BEGIN, "it ended without a word"),
        ("raise SystemExit(3)\n", "it ended without a word"),
        (BEGIN + "print('[]', file=status, flush=True)\n", "it ended without a word"),
        (WORKS, "it ended without a word"),
        (WORKS + "os.read(0, 1)\n", "it ended without a word"),
        (BEGIN + "say(works=False)\n", "it does not work"),
    ],
    ids=["refused", "silent", "never begins", "no JSON of ours", "dies at work", "dies at its end", "no reason"],
)  # fmt: skip
def test_one_that_does_not_work_says_why_and_tells_nothing(
    program: str, why: str, witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run(witness, program, tmp_path, monkeypatch) == {}
    assert witness.refused.startswith(f"cannot ask bcc: {why}; ")


@pytest.mark.parametrize(
    ("place", "remedy"), [("{}", "apt-get install linux-headers-"), ("{}/build", "BCC_KERNEL_SOURCE=FOLDER")]
)
def test_headers_that_it_does_not_find_have_a_remedy(
    place: str, remedy: str, witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bcc, "_BUILD", str(tmp_path / place))
    run(witness, BEGIN + "say(works=False, why='Unable to find kernel headers')\n", tmp_path, monkeypatch)
    assert witness.refused.startswith("cannot ask bcc: Unable to find kernel headers; ")
    assert remedy in witness.refused


def test_one_that_was_given_nobody_to_follow_is_not_blamed(
    witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the tracepoints are refused there is nothing to set beside what it would tell."""
    monkeypatch.setattr(bcc, "_PROGRAM", tmp_path / "program.py")
    (tmp_path / "program.py").write_text(BEGIN + "say(works=True)\nos.read(0, 32)\n")
    witness.prepare()
    witness.settle()
    assert witness.stop() == {}
    assert witness.refused == ""


def test_it_is_waited_for_before_the_program_is_there(
    witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it needs to compile is no part of the program's time."""
    monkeypatch.setattr(bcc, "_PROGRAM", tmp_path / "program.py")
    (tmp_path / "program.py").write_text(BEGIN + "import time\ntime.sleep(2)\n" + WORKS.removeprefix(BEGIN))
    witness.prepare()
    began = time.monotonic()
    witness.settle()
    assert time.monotonic() - began > 1
    assert (witness.refused, witness.kprobes_refused) == ("", "no kprobes")
    witness.follow(77)
    witness.stop()


def test_one_that_says_nothing_is_not_waited_for(
    witness: BccWitness, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bcc, "_PATIENCE", 0.5)
    began = time.monotonic()
    assert run(witness, BEGIN + "os.read(0, 1)\n", tmp_path, monkeypatch) == {}
    assert "it says nothing" in witness.refused
    assert time.monotonic() - began < 15


@pytest.mark.skipif(os.geteuid() != 0, reason="who is not root is refused for that")
def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.readlink("/proc/self/ns/pid") != bcc._INITIAL_NAMESPACE:
        pytest.skip("in a pid namespace that is what is said")
    monkeypatch.setattr(bcc, "_PYTHON", str(tmp_path / "none"))
    refused = why_not()
    assert refused is not None
    assert refused.remedy == "sudo apt-get install python3-bpfcc"
    monkeypatch.setattr(bcc, "_has_bcc", lambda: True)
    monkeypatch.setattr(bcc, "_BUILD", str(tmp_path / "{}"))
    monkeypatch.setattr(bcc, "_IN_KERNEL", tmp_path / "kheaders")
    monkeypatch.delenv("BCC_KERNEL_SOURCE", raising=False)
    refused = why_not()
    assert refused is not None
    assert refused.remedy == "sudo apt-get install linux-headers-$(uname -r)"
    # Whose kernel has no modules here has it from elsewhere: no package has its headers.
    monkeypatch.setattr(bcc, "_BUILD", str(tmp_path / "{}" / "build"))
    refused = why_not()
    assert refused is not None
    assert "BCC_KERNEL_SOURCE=FOLDER" in refused.remedy
    (tmp_path / "kheaders").touch()
    assert why_not() is None
