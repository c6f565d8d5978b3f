"""The chunks of a walked heap, as records."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from observer.heap.values import CHUNK
from observer.instruments.walks import chunks_in
from observer.recording.records import NO_BIN


def walk(*rows: tuple[int, int, int, int, int], arenas: int = 1) -> Any:
    heap = SimpleNamespace(
        table=np.array(list(rows), dtype=CHUNK), arenas=[SimpleNamespace(inferred_from=None)] * arenas, empty_caches=()
    )  # fmt: skip
    return SimpleNamespace(heap=heap, mapped=[(0x7000, 4096)])


def test_a_chunk_in_no_bin_is_told_from_those_of_the_bins() -> None:
    found = chunks_in([walk((0x1000, 32, 0, 0, -1), (0x1020, 48, 0, 0, 0), (0x1050, 64, 0, 0, 126))])
    assert found["bin"].tolist() == [NO_BIN, 0, 126, NO_BIN]
    assert found["address"].tolist() == [0x1000, 0x1020, 0x1050, 0x7000]


def test_arenas_of_several_libraries_are_counted_through() -> None:
    found = chunks_in([walk((0x1000, 32, 0, 1, -1), arenas=2), walk((0x2000, 32, 0, 0, -1))])
    assert found["arena"].tolist() == [1, 0, 2, 0]
