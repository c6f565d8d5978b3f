"""Events as JSON Lines."""

from __future__ import annotations

import io
import json
from typing import Any

from observer.model.events import ChunkRef, Event
from observer.report.jsonl import to_line, write
from tests.builders import HEAP, MAP, call, fault, free, lost, process, signal, story_run, syscall


def exported(event: Event) -> dict[str, Any]:
    record = json.loads(to_line(event))
    assert isinstance(record, dict)
    return record


COMMON = ["n", "t_ns", "pid", "tid", "kind"]


def test_a_call_has_exactly_the_fields_of_the_format() -> None:
    record = exported(call(3, result=HEAP + 0x2A0))
    assert list(record) == [
        *COMMON, "op", "size", "count", "alignment", "pointer", "result", "where", "end_ns", "errno", "site", "origin",
        "served_by", "steps", "inner", "allocator", "parameter", "value", "misuse", "stack",
    ]  # fmt: skip
    assert (record["kind"], record["size"], record["pointer"]) == ("call", 100, None)
    assert (record["result"], record["where"]) == (hex(HEAP + 0x2A0), "heap+0x2a0")
    assert list(record["site"]) == ["function", "file", "line", "module", "offset"]


def test_a_result_that_is_no_pointer_stays_a_number() -> None:
    assert exported(call(0, "malloc_usable_size", None, pointer=HEAP, result=104))["result"] == 104
    assert exported(free(0, HEAP))["pointer"] == hex(HEAP)


def test_a_system_call_has_exactly_the_fields_of_the_format() -> None:
    record = exported(syscall(3, "brk", HEAP, result=HEAP, cause=2))
    assert list(record) == [
        *COMMON, "name", "number", "args", "result", "errno", "gate", "ring_before", "end_ns", "cause", "site",
        "decoded", "within", "kernel",
    ]  # fmt: skip
    assert (record["args"], record["result"], record["cause"]) == ([hex(HEAP)], hex(HEAP), 2)


def test_errors_and_counts_of_system_calls_stay_numbers() -> None:
    assert exported(syscall(3, "mmap", 0, 1, result=-12, errno=12))["result"] == -12
    assert exported(syscall(3, "read", 0, 1, result=17))["result"] == 17
    assert exported(syscall(3, "mmap", 0, 1, result=MAP))["result"] == hex(MAP)
    assert exported(syscall(3, "brk", 0, result=None, end_ns=None))["result"] is None


def test_a_fault_has_exactly_the_fields_of_the_format() -> None:
    record = exported(fault(3, HEAP + 4096, chunk=ChunkRef(1, HEAP + 16, 9000), frame=0x1A2B))
    assert list(record) == [
        *COMMON, "address", "where", "ip", "access", "major", "ring", "mapping", "chunk", "toucher", "cause", "site",
        "frame", "kernel",
    ]  # fmt: skip
    assert record["chunk"] == {"call": 1, "address": hex(HEAP + 16), "size": 9000}
    assert (record["address"], record["ip"], record["frame"]) == (hex(HEAP + 4096), "0x555500001149", "0x1a2b")
    assert (record["major"], record["ring"]) == (False, 3)


def test_the_rare_kinds_have_their_fields_too() -> None:
    assert list(exported(signal(0))) == [
        *COMMON, "signal", "code", "address", "fatal", "site", "instruction", "ring", "exception", "reason", "access",
        "where", "mapping", "protection",
    ]  # fmt: skip
    assert exported(signal(0))["address"] == "0x0"
    assert list(exported(process(0, "start"))) == [*COMMON, "what", "child", "status", "path", "environment"]
    assert list(exported(lost(0))) == [*COMMON, "instrument", "count"]


def test_names_that_are_no_utf8_do_not_stop_the_export() -> None:
    assert exported(process(0, "exec", path="/tmp/\udc80x"))["path"] == "/tmp/\\udc80x"
    assert exported(process(0, "exec", path="/tmp/\n\x1b할당"))["path"] == "/tmp/\n\x1b할당"


def test_every_event_is_one_line() -> None:
    out = io.BytesIO()
    assert write(story_run() * 3, out) == 3 * len(story_run())
    lines = out.getvalue().split(b"\n")
    assert lines.pop() == b""
    assert [json.loads(line)["n"] for line in lines] == [event.n for event in story_run()] * 3
