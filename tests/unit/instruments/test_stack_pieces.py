"""Pieces of stack as rings hold them: one is stored of each way out of the C library, all that are new in one write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from observer.arch.known import NATIVE
from observer.arch.x86_64 import X86_64
from observer.code.stepping import SP, Rule
from observer.files import Folder
from observer.instruments import code_of_spaces
from observer.instruments.stack_pieces import StackPieces
from observer.recording.records import STACK_PIECE
from observer.recording.spool import Spools
from observer.tracee.inline.shapes import FEW_PIECES
from observer.tracee.inline.space import Space

if NATIVE is not X86_64:
    pytest.skip("a return address lies on the stack here", allow_module_level=True)

PIECE = FEW_PIECES.large.piece
STRDUP, ASPRINTF, HAND_WRITTEN, MAIN, WORK = 0x2100, 0x2200, 0x2300, 0x1300, 0x1200
RULES = {STRDUP: Rule(SP, 24), ASPRINTF: Rule(SP, 16), HAND_WRITTEN: None}


class Code:
    """What a CodeMap knows, made up."""

    changes = 0

    def role_at(self, back: int) -> str:
        return "libc" if back in RULES else "program"

    def rule_before(self, back: int) -> Rule | None:
        return RULES[back]


@pytest.fixture
def space(monkeypatch: pytest.MonkeyPatch) -> Space:
    monkeypatch.setattr(code_of_spaces, "CodeMap", Code)
    return Space([])


def piece(sp: int, *words: int, behind: bytes = b"") -> Any:
    """Return a piece of stack as the stub leaves it: whatever was there before lies behind its bytes."""
    made = np.zeros(1, dtype=PIECE)
    data = held(*words)
    made["length"], made["sp"], made["bp"], made["bx"] = len(data), sp, 2, 3
    made["bytes"] = np.void((data + behind).ljust(PIECE["bytes"].itemsize, b"\0"))
    return made[0]


def held(*words: int) -> bytes:
    return b"".join(word.to_bytes(8, "little") for word in words)


def stored(folder: Path) -> np.ndarray[Any, np.dtype[np.void]]:
    return np.fromfile(folder / STACK_PIECE.file, dtype=STACK_PIECE.dtype)


def test_pieces_that_lead_out_the_same_way_are_one_whatever_else_lies_there(tmp_path: Path, space: Space) -> None:
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    some = np.array([
        piece(8000, STRDUP, 7, 8, MAIN, 9), piece(8000, STRDUP, 5, 6, MAIN, behind=b"left behind"),
        piece(4000, STRDUP, 7, 8, WORK, 9), piece(8000, ASPRINTF, 7, STRDUP, 8, 9, MAIN),
        piece(4000, ASPRINTF, MAIN, STRDUP, WORK, WORK, MAIN, WORK),
    ])  # fmt: skip
    lengths = some["length"].tolist()
    assert pieces.of(space, some, [1, 0, 2], 77) == [1, 1, 2]
    assert pieces.of(space, some, [3, 2, 4, 0], 99) == [3, 2, 3, 1]
    spools.close()
    found = stored(tmp_path)
    assert found["time"].tolist() == [77, 77, 99]
    assert found["sp"].tolist() == [8000, 4000, 8000]
    assert [record.tobytes().rstrip(b"\0") for record in found["bytes"]] == [
        held(*words).rstrip(b"\0")
        for words in ((STRDUP, 5, 6, MAIN), (STRDUP, 7, 8, WORK, 9), (ASPRINTF, 7, STRDUP, 8, 9, MAIN))
    ]
    assert some["length"].tolist() == lengths


def test_every_piece_of_which_no_way_is_known_is_stored(tmp_path: Path, space: Space) -> None:
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    some = np.array([piece(8000, HAND_WRITTEN, 7, MAIN), piece(8000, STRDUP, 5, 6), piece(8000, STRDUP, 5, 6, MAIN)])
    assert pieces.of(space, some, [0, 1, 0, 2, 2], 77) == [1, 2, 3, 4, 4]
    spools.close()
    assert [record.tobytes()[:8] for record in stored(tmp_path)["bytes"]] == [
        held(back) for back in (HAND_WRITTEN, STRDUP, HAND_WRITTEN, STRDUP)
    ]


def test_what_is_mapped_later_makes_other_ways(
    tmp_path: Path, space: Space, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    some = np.array([piece(8000, STRDUP, 5, 6, MAIN)])
    assert pieces.of(space, some, [0, 0], 1) == [1, 1]
    monkeypatch.setattr(Code, "add", lambda self, image: None, raising=False)
    another: Any = object()
    space.images.append(another)
    assert pieces.of(space, some, [0, 0], 2) == [2, 2]
    spools.close()


def test_pieces_that_do_not_fit_have_no_number(tmp_path: Path, space: Space) -> None:
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    some = np.array([piece(8000, STRDUP, 5, 6, back) for back in (0x1100, 0x1110, 0x1120)])
    assert pieces.of(space, some, [0], 5) == [1]
    spools.stacks.error = OSError(28, "No space left on device")
    assert pieces.of(space, some, [1, 0, 2, 1], 6) == [0, 1, 0, 0]
    assert (spools.stacks.count, spools.stacks.lost) == (1, 2)
    assert pieces.of(space, some, [1], 7) == [0]
    spools.close()
