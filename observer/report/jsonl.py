"""Events as JSON Lines: one object a line, `n`, `t_ns`, `pid`, `tid`, `kind` first, absent facts as null.

Addresses are hex strings, so that no reader loses digits in a float: `pointer`, `address`, `ip`, `frame` (that of
`kernel`, too); `result` of a call that returns a pointer; every word of a system call's `args`; `result` of a
successful system call that returns an address (brk, mmap, mmap2, mremap, shmat). Counts, sizes, offsets within a file
and other results stay numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import msgspec

from observer.model.events import ADDRESS_RESULTS, Call, Event, Fault, KernelWork, Syscall
from observer.model.operations import ALLOCATING

__all__ = ["as_object", "encoded", "to_line", "write"]

_BATCH: Final = 512
_encode: Final = msgspec.json.Encoder().encode


def write(events: Iterable[Event], out: BinaryIO) -> int:
    """Write *events* to *out*, a line each; return how many."""
    count = 0
    lines: list[bytes] = []
    for event in events:
        lines.append(to_line(event))
        count += 1
        if len(lines) == _BATCH:
            out.write(b"".join(lines))
            lines.clear()
    out.write(b"".join(lines))
    return count


def to_line(event: Event) -> bytes:
    """Return *event* as one line of JSON with its newline."""
    return encoded(as_object(event)) + b"\n"


def encoded(record: dict[str, Any]) -> bytes:
    """Return *record* as JSON.

    Names of the traced program that are no valid UTF-8 come out with their odd bytes escaped as `\\udc80`.
    """
    try:
        return _encode(record)
    except UnicodeEncodeError:
        return _encode(_encodable(msgspec.to_builtins(record)))


def as_object(event: Event) -> dict[str, Any]:
    """Return *event* as the dictionary that a line of JSON holds."""
    kind = event.__struct_config__.tag
    fields = msgspec.structs.asdict(event)
    record: dict[str, Any] = {
        "n": fields.pop("n"), "t_ns": fields.pop("t_ns"), "pid": fields.pop("pid"), "tid": fields.pop("tid"),
        "kind": kind, **fields,
    }  # fmt: skip
    if isinstance(event, Fault):
        _fault(record, event)
    elif isinstance(event, Call):
        _call(record, event)
    elif isinstance(event, Syscall):
        _syscall(record, event)
    elif kind == "signal":
        record["address"] = _hex(record["address"])
    return record


def _kernel(work: KernelWork | None) -> dict[str, Any] | None:
    if work is None:
        return None
    return {**msgspec.structs.asdict(work), "frame": _hex(work.frame)}


def _hex(value: int | None) -> str | None:
    return None if value is None else hex(value)


def _call(record: dict[str, Any], event: Call) -> None:
    record["pointer"] = _hex(event.pointer)
    if event.op in ALLOCATING:
        record["result"] = _hex(event.result)


def _syscall(record: dict[str, Any], event: Syscall) -> None:
    record["args"] = [hex(word) for word in event.args]
    record["kernel"] = _kernel(event.kernel)
    if event.name in ADDRESS_RESULTS and event.errno is None:
        record["result"] = _hex(event.result)


def _fault(record: dict[str, Any], event: Fault) -> None:
    record["address"], record["ip"], record["frame"] = hex(event.address), hex(event.ip), _hex(event.frame)
    record["kernel"] = _kernel(event.kernel)
    if event.chunk is not None:
        record["chunk"] = {
            "call": event.chunk.call, "address": hex(event.chunk.address), "size": event.chunk.size
        }  # fmt: skip


def _encodable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _encodable(item) for key, item in value.items()}
    return [_encodable(item) for item in value] if isinstance(value, list) else value
