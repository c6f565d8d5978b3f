"""Events as values."""

from __future__ import annotations

import msgspec
import pytest

from observer.model.events import Event, Site
from tests.builders import call, fault, free, lost, process, signal, syscall


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"op": "malloc", "size": 100}, 100),
        ({"op": "calloc", "size": 16, "count": 17}, 272),
        ({"op": "calloc", "size": 16, "count": 0}, 0),
        ({"op": "calloc", "size": 0, "count": 17}, 0),
        ({"op": "free", "size": None}, 0),
        ({"op": "reallocarray", "size": 1 << 40, "count": 1 << 40}, 1 << 80),
    ],
)
def test_bytes_asked_are_size_times_count(fields: dict[str, object], asked: int) -> None:
    assert call(**fields).bytes_asked == asked


@pytest.mark.parametrize(
    ("site", "text"),
    [
        (Site("main", "/home/ada/main.c", 12, "story", 0x1149), "main.c:12"),
        (Site("main", "main.c", 12), "main.c:12"),
        (Site("main", "/home/ada/main.c", None, "story", 0x1149), "main (story)"),
        (Site("__brk", None, None, "libc.so.6", 0x98930), "__brk (libc.so.6)"),
        (Site("main"), "main"),
        (Site(None, None, None, "libc.so.6", 0x98930), "libc.so.6+0x98930"),
        (Site(None, None, None, "libc.so.6", 0), "libc.so.6+0x0"),
        (Site(None, None, None, "libc.so.6", None), "?"),
        (Site(), "?"),
    ],
)
def test_a_site_has_the_shortest_honest_name(site: Site, text: str) -> None:
    assert site.text == text


@pytest.mark.parametrize(
    "event",
    [call(1), free(2, 0x1000), syscall(3, "brk", 0), fault(4), signal(5), process(6, "fork", child=7), lost(8)],
    ids=lambda event: type(event).__name__,
)
def test_an_event_survives_being_written_as_json(event: Event) -> None:
    assert msgspec.json.decode(msgspec.json.encode(event), type=Event) == event


def test_an_event_names_its_kind() -> None:
    kinds = [msgspec.to_builtins(event)["kind"] for event in (call(), syscall(1, "brk"), fault(2), signal(3))]
    assert kinds == ["call", "syscall", "fault", "signal"]
    assert [msgspec.to_builtins(event)["kind"] for event in (process(4, "exit"), lost(5))] == ["process", "lost"]


def test_an_event_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        call().n = 7  # type: ignore[misc]


@pytest.mark.parametrize(
    ("where", "offset"), [("heap+0x3010", 0x3010), ("a+b.so+0x0", 0), ("stack", None), ("heap+3", None), (None, None)]
)
def test_a_fault_knows_how_far_behind_the_beginning_it_is(where: str | None, offset: int | None) -> None:
    assert fault(1, where=where).offset == offset


@pytest.mark.parametrize(
    ("allocator", "is_another"),
    [(None, False), ("glibc", False), ("glibc#2", True), ("libglibc#2.so", False), ("libjemalloc.so.2#2", False)],
)
def test_a_further_copy_of_glibc_has_a_number_behind_its_name(allocator: str | None, is_another: bool) -> None:
    assert call(allocator=allocator).is_of_another_glibc == is_another
