"""Which layout a release has."""

from __future__ import annotations

import pytest

from observer.glibc.layout import LAYOUTS, layouts_of
from observer.glibc.versions import VERSIONS


@pytest.mark.parametrize(
    ("release", "since"),
    [("2.26", 26), ("2.28-10+deb10u1", 27), ("2.31-13+deb11u11", 30), ("2.34", 32), ("2.36-9+deb12u14", 35),
     ("2.41-12", 35), ("2.42", 42), ("2.43-7", 43), ("2.57", 43)],
)  # fmt: skip
def test_a_release_has_the_layout_of_the_last_change(release: str, since: int) -> None:
    assert [layout.since for layout in layouts_of(release)] == [since]


def test_an_unknown_release_may_have_any() -> None:
    assert layouts_of("") == LAYOUTS
    assert layouts_of("2.25") == ()


@pytest.mark.parametrize("name", VERSIONS)
def test_what_the_model_knows_of_structures_is_the_same(name: str) -> None:
    version, [layout] = VERSIONS[name], layouts_of(name)
    assert (layout.heap_header, layout.state_size) == (version.heap_header, version.arena_struct)
    assert layout.fast_bins is not None if version.fastbins else layout.fast_bins is None
    assert layout.cache_heads + 8 * layout.cache_bins == version.tcache_struct
    assert layout.cache_sizes[0] == version.tcache_struct + 8 + 8 & -16


def test_bins_begin_where_an_empty_one_points_to_itself() -> None:
    [layout] = layouts_of("2.36")
    assert layout.bin_header(0x1000, 1) == 0x1060
    assert layout.first_chunk == 0x8D0
