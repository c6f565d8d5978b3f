"""Sets of numbers, beside numpy's own."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from observer.heap.sets import among, distinct

numbers = st.lists(st.integers(0, 9) | st.integers(0, (1 << 64) - 1), max_size=12)


@given(numbers, numbers)
def test_numbers_are_among_others_and_are_distinct_as_numpy_has_it(some: list[int], others: list[int]) -> None:
    values, known = np.array(some, dtype=np.uint64), np.array(others, dtype=np.uint64)
    assert among(values, known).tolist() == np.isin(values, known).tolist()
    assert distinct(values).tolist() == np.unique(values).tolist()


def test_what_walks_heaps_loads_no_masked_arrays() -> None:
    """Loading them takes longer than most walks, and a program stands still."""
    code = "import sys, observer.instruments.session, observer.runs.recorded; print('numpy.ma' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
