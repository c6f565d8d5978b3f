"""What is in force in glibc's allocator once it has read its environment."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from observer.glibc.parameters import Parameters
from observer.glibc.tunables import BOUNDS
from observer.glibc.versions import VERSIONS, nearest
from observer.model.departures import COMPARED

LOADER = "/lib64/ld-linux-x86-64.so.2"


NONE: dict[str, str] = {}


def told(environment: dict[str, str], release: str = "2.36") -> Parameters:
    return Parameters.told(environment, VERSIONS[release])


def test_nothing_said_leaves_the_defaults() -> None:
    defaults = told(NONE)
    assert (defaults.cache_count, defaults.cache_limit, defaults.mmap_threshold) == (7, 1041, 131_072)
    assert (defaults.trim_threshold, defaults.top_pad, defaults.mmap_max) == (131_072, 131_072, 65_536)
    assert (defaults.fast_limit, defaults.hugetlb, defaults.arena_max, defaults.dynamic) == (128, 0, 0, True)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("glibc.malloc.top_pad=0", "top_pad", 0),
        ("glibc.malloc.top_pad=0x3000", "top_pad", 12_288),
        ("glibc.malloc.tcache_count=3", "cache_count", 3),
        ("glibc.malloc.tcache_max=64", "cache_limit", 81),
        ("glibc.malloc.mmap_max=0", "mmap_max", 0),
        ("glibc.malloc.hugetlb=2", "hugetlb", 2),
        ("glibc.malloc.arena_max=1", "arena_max", 1),
        ("glibc.malloc.mxfast=0", "fast_limit", 16),
        ("glibc.malloc.mxfast=128", "fast_limit", 128),
        ("glibc.malloc.mxfast=129", "fast_limit", 128),
        ("glibc.malloc.mxfast=136", "fast_limit", 144),
        ("glibc.malloc.mmap_threshold=300007:glibc.malloc.top_pad=5", "mmap_threshold", 300_007),
        ("glibc.malloc.top_pad=5:glibc.malloc.top_pad=7", "top_pad", 7),
        ("glibc.rtld.nns=2:glibc.malloc.trim_threshold=9", "trim_threshold", 9),
    ],
)
def test_a_tunable_is_read(words: str, name: str, value: int) -> None:
    assert getattr(told({"GLIBC_TUNABLES": words}), name) == value


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "mmap_threshold"), ("MALLOC_TRIM_THRESHOLD_", "trim_threshold"),
        ("MALLOC_TOP_PAD_", "top_pad"), ("MALLOC_MMAP_MAX_", "mmap_max"), ("MALLOC_ARENA_MAX", "arena_max"),
        ("MALLOC_PERTURB_", "perturb"),
    ],
)  # fmt: skip
def test_the_old_variables_say_the_same(variable: str, name: str) -> None:
    assert getattr(told({variable: "99"}), name) == 99
    both = {variable: "99", "GLIBC_TUNABLES": f"glibc.malloc.{name}=111"}
    assert getattr(told(both), name) == 111


@pytest.mark.parametrize(
    "words",
    [
        "", ":", "=", ":::=:=", "glibc.malloc.top_pad", "glibc.malloc.=7", "malloc.top_pad=7",
        "glibc.malloc.no_such_thing=7", "glibc.malloc.dynamic=0", "glibc.malloc.facts=7", "glibc.malloc.__class__=7",
        "\x00\ud800", "glibc.malloc.perturb=256", "glibc.malloc.mmap_max=-1",
    ],
)  # fmt: skip
def test_junk_changes_nothing(words: str) -> None:
    assert told({"GLIBC_TUNABLES": words, "TOP_PAD": "5"}).facts() == told(NONE).facts()


def test_a_number_ends_where_it_ends_until_2_39() -> None:
    words = {"GLIBC_TUNABLES": "glibc.malloc.top_pad=8k"}
    assert (told(words).top_pad, told(words, "2.39").top_pad) == (8, 131_072)


def test_what_the_allocator_refuses_is_not_in_force() -> None:
    words = {"GLIBC_TUNABLES": "glibc.malloc.mxfast=100000"}
    assert told(words).fast_limit == 128


def test_a_release_says_what_it_caches() -> None:
    assert (told(NONE, "2.43").cache_count, told(NONE, "2.43").fast_limit) == (16, 0)


@pytest.mark.parametrize(
    ("text", "name"),
    [("2.36-9+deb12u14", "2.36"), ("2.31", "2.31"), ("2.57", "2.43"), ("2.9", "2.36"), ("", "2.36"), ("musl", "2.36")],
)
def test_an_unknown_release_is_taken_for_a_known_one(text: str, name: str) -> None:
    assert nearest(text).name == name


def test_a_leading_zero_makes_a_number_octal() -> None:
    assert told({"GLIBC_TUNABLES": "glibc.malloc.top_pad=010000"}).top_pad == 4096


@pytest.mark.parametrize("name", ["mmap_threshold", "trim_threshold", "top_pad", "mmap_max"])
def test_these_stop_the_threshold_from_moving(name: str) -> None:
    parameters = told({"GLIBC_TUNABLES": f"glibc.malloc.{name}=131072"})
    parameters.freed_mapping(400_009, 400_009)
    assert (parameters.dynamic, parameters.mmap_threshold != 400_009) == (False, True)


@pytest.mark.parametrize("name", ["tcache_count", "mxfast", "hugetlb", "arena_max"])
def test_these_do_not_stop_it(name: str) -> None:
    parameters = told({"GLIBC_TUNABLES": f"glibc.malloc.{name}=1"})
    parameters.freed_mapping(400_009, 400_009)
    assert (parameters.mmap_threshold, parameters.trim_threshold) == (400_009, 800_018)


def test_all_these_names_are_known_to_the_c_library() -> None:
    if shutil.which(LOADER) is None:
        pytest.skip("no dynamic loader of glibc for x86-64")
    listed = subprocess.run([LOADER, "--list-tunables"], check=False, capture_output=True, text=True, timeout=20)
    if listed.returncode:
        pytest.skip("this glibc cannot list its tunables (it can since 2.33)")
    known = {line.split(":")[0].strip() for line in listed.stdout.splitlines()}
    assert "glibc.malloc.top_pad" in known
    ours = set(BOUNDS) - {"tcache_unsorted_limit"} | {
        name for departure in COMPARED.values() for name in departure.tunables
    }
    assert {f"glibc.malloc.{name}" for name in ours} - known == set()
