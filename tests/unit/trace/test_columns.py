"""Columns and the table of places."""

from __future__ import annotations

from observer.model.events import Site
from observer.trace.columns import Columns, SiteTable


def test_a_place_is_numbered_once() -> None:
    table = SiteTable()
    sites = [Site("main", "main.c", 12), Site("f"), Site("main", "main.c", 12)]
    assert [table.number(site) for site in sites] == [1, 2, 1]
    assert table.sites == [Site("main", "main.c", 12, None, 0), Site("f", None, None, None, 0)]


def test_no_place_is_number_zero() -> None:
    table = SiteTable()
    assert (table.number(None), table.number(Site()), table.sites) == (0, 0, [])


def test_a_place_with_half_its_fields_is_a_row() -> None:
    table = SiteTable()
    table.number(Site(module="libc.so.6", offset=0x98930))
    columns = {name: values.tolist() for name, values in table.columns().items()}
    assert columns == {
        "id": [1], "function": [None], "file": [None], "line": [0], "module": ["libc.so.6"], "offset": [0x98930],
    }  # fmt: skip


def test_an_offset_below_the_file_is_kept_in_sixty_four_bits() -> None:
    table = SiteTable()
    table.number(Site(module="x", offset=-8))
    assert table.columns()["offset"].tolist() == [(1 << 64) - 8]


def test_columns_begin_as_zero_and_as_nothing() -> None:
    columns = Columns(2, {"errno": 0, "frame": -1}, ("where",))
    assert {name: values.tolist() for name, values in columns.arrays().items()} == {
        "errno": [0, 0], "frame": [-1, -1], "where": [None, None],
    }  # fmt: skip
