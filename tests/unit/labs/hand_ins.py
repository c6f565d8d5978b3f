"""Hand-ins and documents made by hand."""

from __future__ import annotations

import hashlib

import msgspec

from observer.labs.grading import Document
from observer.labs.handin import HandIn, Recording, sealed
from observer.labs.judging import CheckResult

__all__ = ["bytes_of", "check", "document", "given", "recorded"]


def given(**fields: object) -> HandIn:
    """Return a hand-in as it is made, with other *fields*."""
    sources = {"first_malloc.c": "int main(void) { return 0; }\n"}
    plain: dict[str, object] = {
        "schema": "observer/hand-in/2", "lab": "first_malloc", "seed": "1", "sources": sources, "predictions": None,
    }  # fmt: skip
    plain |= fields
    names = plain["sources"]
    assert isinstance(names, dict)
    plain.setdefault("hashes", {name: hashlib.sha256(text.encode()).hexdigest() for name, text in names.items()})
    return sealed(msgspec.convert(plain, HandIn))


def recorded(text: str = "AAAA", **checks: str) -> Recording:
    return Recording({"meta.json": text}, checks)


def bytes_of(hand_in: HandIn) -> bytes:
    return msgspec.json.encode(hand_in)


def check(name: str = "nothing left", status: str = "passed", points: int = 2, **fields: object) -> CheckResult:
    plain = {"name": name, "status": status, "points": points, "max_points": points, "that": "leaks == 0"}
    return msgspec.convert(plain | fields, CheckResult)


def document(file: str = "a.handin", **fields: object) -> Document:
    plain: dict[str, object] = {
        "file": file, "lab": "first_malloc", "seed": "1", "verdict": "OK", "why": "", "score": 3, "max_score": 10,
        "points": 10,
    }  # fmt: skip
    return msgspec.convert(plain | fields, Document)
