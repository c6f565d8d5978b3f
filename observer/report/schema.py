"""The JSON Schema of the lines that `export --to jsonl` writes: of each kind of event, its fields and their types."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from observer.model.events import Call, Fault, Library, Lost, Process, Signal, Syscall
from observer.model.machine import SCHEMA

__all__ = ["schema_of_lines"]

_KINDS: Final = (Call, Syscall, Fault, Signal, Process, Library, Lost)
_HEX: Final = {"type": "string", "pattern": "^0x[0-9a-f]+$"}
_ADDRESSES: Final = {
    "Call": ("pointer",), "Fault": ("address", "ip", "frame"), "Signal": ("address",), "ChunkRef": ("address",),
    "KernelWork": ("frame",),
}  # fmt: skip
_HEX_OR_NUMBER: Final = {"Call": ("result",), "Syscall": ("result",)}
"""Addresses of some operations, numbers of others (see `report.jsonl`)."""


def schema_of_lines() -> dict[str, Any]:
    """Return the schema (JSON Schema, draft 2020-12); its `version` is that of the trace's schema."""
    alternatives, parts = msgspec.json.schema_components(_KINDS, ref_template="#/$defs/{name}")
    for name, part in parts.items():
        _as_written(name, part)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An event of a trace: a line of observer export --to jsonl",
        "version": SCHEMA,
        "anyOf": list(alternatives),
        "$defs": parts,
    }


def _as_written(name: str, part: dict[str, Any]) -> None:
    """Have the schema of one struct say what a line holds: addresses as text, no field left out."""
    properties = part["properties"]
    for field in properties.values():
        field.pop("default", None)
    for address in _ADDRESSES.get(name, ()):
        is_optional = "anyOf" in properties[address]
        properties[address] = {"anyOf": [_HEX, {"type": "null"}]} if is_optional else _HEX
    for field in _HEX_OR_NUMBER.get(name, ()):
        properties[field] = {"anyOf": [_HEX, {"type": "integer"}, {"type": "null"}]}
    if name == "Syscall":
        properties["args"] = {"type": "array", "items": _HEX}
    part["required"] = list(properties)
    part["additionalProperties"] = False
