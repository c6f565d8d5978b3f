"""Random workloads: the same seed the same run, and nothing that the machine refuses."""

from __future__ import annotations

from collections import Counter
from itertools import islice

import pytest

from observer.errors import UsageError
from observer.model.events import Call
from observer.simulator.book import FITS
from observer.simulator.generate import PROFILES, generate
from observer.simulator.machine import BookMachine
from observer.simulator.workload import parse, render


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_the_same_seed_gives_the_same_run_and_another_seed_another(profile: str) -> None:
    first = list(generate(7, 300, profile))
    assert first == list(generate(7, 300, profile))
    assert first != list(generate(11, 300, profile))
    # More operations are not other operations.
    assert first[:300] == list(islice(generate(7, 500, profile), 300))


def test_profiles_are_not_the_same_run() -> None:
    assert len({render(generate(7, 100, profile)) for profile in PROFILES}) == len(PROFILES)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_every_profile_is_legal_for_the_machine_and_frees_all(profile: str, fit: str) -> None:
    machine = BookMachine(fit=fit)
    events = list(machine.run(generate(13, 400, profile)))
    assert all(event.result for event in events if isinstance(event, Call) and event.op != "free")
    assert machine.totals.bytes_asked == 0
    assert machine.totals.bytes_between == machine.totals.heap_bytes > 0


@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_text_and_back_is_the_same_run_and_lines_count_up(profile: str) -> None:
    made = list(generate(3, 200, profile))
    assert list(parse(render(made).encode().splitlines())) == made
    assert [operation.line for operation in made] == list(range(1, len(made) + 1))


def test_each_operation_of_a_profile_comes() -> None:
    for profile, (_size, weights) in PROFILES.items():
        kinds = Counter(operation.kind for operation in generate(5, 3000, profile))
        assert weights.keys() <= kinds.keys()


def test_sizes_at_edges_are_on_both_sides_of_them() -> None:
    sizes = {operation.numbers[0] for operation in generate(5, 3000, "edges") if operation.kind == "malloc"}
    for edge in (24, 1032, 131_064):
        assert {size for size in sizes if edge - 9 <= size <= edge}
        assert {size for size in sizes if edge < size <= edge + 9}


@pytest.mark.parametrize("count", [0, 1])
def test_few_operations(count: int) -> None:
    made = list(generate(1, count))
    assert [operation.kind for operation in made] == ["malloc", "free"] * count


def test_an_unknown_profile_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="mixed"):
        list(generate(1, 1, "tiny"))
