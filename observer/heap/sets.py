"""Sets of numbers: what numpy has for them loads its masked arrays, for nobody, while a program stands still."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

__all__ = ["among", "distinct"]

Number = TypeVar("Number", bound=np.integer[Any])


def among(values: npt.NDArray[Number], others: npt.NDArray[Number]) -> npt.NDArray[np.bool_]:
    """Return which of *values* are among *others*, both of one type, in any order."""
    if not len(others):
        return np.zeros(len(values), dtype=np.bool_)
    known = np.sort(others)
    places = np.minimum(np.searchsorted(known, values), len(known) - 1)
    found: npt.NDArray[np.bool_] = known[places] == values
    return found


def distinct(values: npt.NDArray[Number]) -> npt.NDArray[Number]:
    """Return each of *values* once, in ascending order."""
    ascending = np.sort(values)
    found: npt.NDArray[Number] = ascending[np.append(True, ascending[1:] != ascending[:-1])[: len(ascending)]]
    return found
