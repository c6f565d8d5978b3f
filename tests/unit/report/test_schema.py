"""Every line that is exported is as the published schema says."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import pytest

from observer.model.events import Event, KernelWork
from observer.report.jsonl import as_object, to_line
from observer.report.schema import schema_of_lines
from tests.builders import HEAP, PID, call, fault, free, library, lost, process, signal, story_run, syscall

EVENTS: list[Event] = [
    *story_run(), library(900), lost(901), signal(902), process(903, "exec", path="/bin/true", environment={"A": "b"}),
    syscall(904, "open", 1, result=None, end_ns=None, decoded=("x", "y")), free(905, HEAP, end_ns=None), call(906, result=0, errno=12),
    fault(907, kernel=KernelWork(1100, 1, 0x1A2B, 0, True, 0)), fault(908, kernel=KernelWork(900, 0, None, None, None, 0)),
]  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Any:
    jsonschema.Draft202012Validator.check_schema(schema_of_lines())
    return jsonschema.Draft202012Validator(schema_of_lines())


def test_all_kinds_of_lines_are_valid(validator: Any) -> None:
    assert {type(event).__name__ for event in EVENTS} == set(schema_of_lines()["$defs"]) - {
        "Site",
        "ChunkRef",
        "Misuse",
        "KernelWork",
    }
    for event in EVENTS:
        validator.validate(json.loads(to_line(event)))


@pytest.mark.parametrize(
    ("event", "changed"),
    [
        (call(0), {"pointer": 7}), (call(0), {"op": None}), (fault(0), {"address": HEAP}), (fault(0), {"more": 1}),
        (syscall(0, "brk", 7), {"args": [7]}), (process(0, "exit"), {"kind": "nothing"}),
    ],
)  # fmt: skip
def test_what_no_line_is_is_not_valid(validator: Any, event: Event, changed: dict[str, Any]) -> None:
    assert as_object(event)["pid"] == PID
    assert not validator.is_valid({**json.loads(to_line(event)), **changed})
    missing = json.loads(to_line(event))
    del missing["t_ns"]
    assert not validator.is_valid(missing)
