"""What is kept on disk is UTF-8, whatever the names are that it is about."""

from __future__ import annotations

from pathlib import Path

import msgspec

from observer.files import Folder
from observer.model.machine import Meta
from observer.recording.notes import Released
from observer.recording.text import to_json
from observer.trace.reader import read_meta
from observer.trace.unfinished import write_meta
from tests.builders import meta

ODD = "wo\udcffrk"


def test_values_that_are_text_are_encoded_as_they_are() -> None:
    assert to_json({"a": ["한", 1, None]}) == '{"a":["한",1,null]}'.encode()


def test_bytes_that_are_no_text_are_written_out_wherever_they_stand() -> None:
    note = Released(pid=17, tid=19, t=41, why=ODD, how="released", exiting=False, minor=3, major=5)
    assert msgspec.json.decode(to_json(note), type=Released).why == "wo\\xffrk"
    assert to_json({ODD: [(ODD, {"x": ODD})]}) == rb'{"wo\\xffrk":[["wo\\xffrk",{"x":"wo\\xffrk"}]]}'


def test_a_run_may_have_been_asked_for_by_bytes(tmp_path: Path) -> None:
    asked = msgspec.structs.replace(meta().request, end_at=ODD, through=(ODD,), malloc_functions={ODD: "malloc"})
    told: Meta = msgspec.structs.replace(meta(), request=asked, notes=(f"--until {ODD}: nobody came there",))
    folder = Folder.open(tmp_path)
    write_meta(folder, told)
    found = read_meta(folder)
    assert (found.request.end_at, found.notes) == ("wo\\xffrk", ("--until wo\\xffrk: nobody came there",))
    assert found.request.malloc_functions == {"wo\\xffrk": "malloc"}
