"""What an alignment means to those who ask and to those who serve."""

from __future__ import annotations

import pytest

from observer.model.account import alignment_of, is_forbidden
from tests.builders import call


@pytest.mark.parametrize(
    ("op", "alignment", "means"),
    [("malloc", None, 0), ("memalign", 0, 0), ("memalign", 16, 0), ("memalign", 17, 32), ("memalign", 64, 64),
     ("aligned_alloc", 48, 64), ("valloc", None, 4096), ("pvalloc", None, 4096)],
)  # fmt: skip
def test_an_alignment_is_the_next_power_of_two_above_the_usual_one(op: str, alignment: int | None, means: int) -> None:
    assert alignment_of(call(0, op, 100, alignment=alignment)) == means


@pytest.mark.parametrize(
    ("op", "alignment", "forbidden"),
    [("posix_memalign", 0, True), ("posix_memalign", 4, True), ("posix_memalign", 24, True),
     ("posix_memalign", 8, False), ("posix_memalign", 4096, False), ("memalign", 0, False), ("malloc", None, False)],
)  # fmt: skip
def test_only_posix_memalign_forbids(op: str, alignment: int | None, forbidden: bool) -> None:
    assert is_forbidden(call(0, op, 100, alignment=alignment)) == forbidden
