"""The workloads of the package: each says what it shows, parses, and is legal."""

from __future__ import annotations

import pytest

from observer.errors import BadWorkload
from observer.model.chapter import CONCEPTS
from observer.model.events import Signal
from observer.simulator.machine import BookMachine
from observer.simulator.packaged import header, names, path
from observer.simulator.workload import parse


@pytest.mark.parametrize("name", names())
def test_each_has_a_header_and_runs(name: str) -> None:
    said = header(name)
    assert said.title != name
    assert said.concepts
    assert set(said.concepts) <= set(CONCEPTS)
    assert len(said.text.split()) >= 5
    machine = BookMachine(source=name)
    with path(name).open("rb") as file:
        events = list(machine.run(parse(file)))
    assert machine.totals.operations > 0
    if name.startswith(("crash", "child_dies")):
        assert any(isinstance(event, Signal) for event in events)


def test_there_are_many_with_names_in_order_and_titles_of_their_own() -> None:
    assert len(names()) >= 40
    assert list(names()) == sorted(names())
    assert len({header(name).title for name in names()}) == len(names())


@pytest.mark.parametrize("name", ["", "no_such", "../workloads/trim", "trim.workload"])
def test_an_unknown_one_is_told_the_known_ones(name: str) -> None:
    with pytest.raises(BadWorkload, match="there is no workload") as caught:
        path(name)
    assert "first_touch" in str(caught.value)
