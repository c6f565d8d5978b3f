"""Pieces of stack as rings hold them: each different one is stored once, all that are new in one write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from observer.files import Folder
from observer.instruments.stack_pieces import StackPieces
from observer.recording.records import STACK_PIECE
from observer.recording.spool import Spools
from observer.tracee.inline.shapes import FEW_PIECES

PIECE = FEW_PIECES.large.piece


def piece(sp: int, data: bytes, *, behind: bytes = b"") -> Any:
    """Return a piece of stack as the stub leaves it: whatever was there before lies behind its bytes."""
    made = np.zeros(1, dtype=PIECE)
    made["length"], made["sp"], made["bp"], made["bx"] = len(data), sp, 2, 3
    made["bytes"] = np.void((data + behind).ljust(PIECE["bytes"].itemsize, b"\0"))
    return made[0]


def stored(folder: Path) -> np.ndarray[Any, np.dtype[np.void]]:
    return np.fromfile(folder / STACK_PIECE.file, dtype=STACK_PIECE.dtype)


def test_each_different_piece_is_stored_once(tmp_path: Path) -> None:
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    whole = bytes(range(256)) * 12
    some = np.array([
        piece(1000, whole), piece(1000, b"short", behind=b"left behind"), piece(1000, whole), piece(2000, whole),
        piece(1000, b"short"),
    ])  # fmt: skip
    assert pieces.of(some, [0, 1, 2, 4], 77) == [1, 2, 1, 2]
    assert pieces.of(some, [3, 0], 99) == [3, 1]
    spools.close()
    found = stored(tmp_path)
    assert found["time"].tolist() == [77, 77, 99]
    assert found["sp"].tolist() == [1000, 1000, 2000]
    assert [record.tobytes() for record in found["bytes"]] == [whole, b"short".ljust(3072, b"\0"), whole]
    assert some["length"].tolist() == [3072, 5, 3072, 3072, 5]


def test_pieces_that_do_not_fit_have_no_number(tmp_path: Path) -> None:
    spools = Spools(Folder.open(tmp_path))
    pieces = StackPieces(spools)
    some = np.array([piece(1, b"one"), piece(2, b"two"), piece(3, b"three")])
    assert pieces.of(some, [0], 5) == [1]
    spools.stacks.error = OSError(28, "No space left on device")
    assert pieces.of(some, [1, 0, 2, 1], 6) == [0, 1, 0, 0]
    assert (spools.stacks.count, spools.stacks.lost) == (1, 2)
    spools.close()
