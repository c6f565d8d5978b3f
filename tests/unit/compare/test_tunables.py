"""What the real allocator was told, read from its environment."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from observer.compare.departures import DEPARTURES
from observer.compare.tunables import Tunables, read_tunables

LOADER = "/lib64/ld-linux-x86-64.so.2"


def test_nothing_said_leaves_the_defaults() -> None:
    defaults = read_tunables({})
    assert defaults == Tunables()
    assert (defaults.tcache_count, defaults.tcache_max, defaults.mmap_threshold) == (7, 1032, 131_072)
    assert (defaults.trim_threshold, defaults.top_pad, defaults.mmap_max) == (131_072, 131_072, 65_536)
    assert (defaults.mxfast, defaults.hugetlb, defaults.arena_max, defaults.dynamic) == (128, 0, 0, True)


@pytest.mark.parametrize(
    ("words", "name", "value"),
    [
        ("glibc.malloc.top_pad=0", "top_pad", 0),
        ("glibc.malloc.top_pad=0x3000", "top_pad", 12_288),
        ("glibc.malloc.tcache_count=3", "tcache_count", 3),
        ("glibc.malloc.tcache_max=64", "tcache_max", 64),
        ("glibc.malloc.mmap_max=0", "mmap_max", 0),
        ("glibc.malloc.hugetlb=2", "hugetlb", 2),
        ("glibc.malloc.arena_max=1", "arena_max", 1),
        ("glibc.malloc.mxfast=0", "mxfast", 0),
        ("glibc.malloc.mxfast=128", "mxfast", 128),
        ("glibc.malloc.mxfast=129", "mxfast", 128),
        ("glibc.malloc.mxfast=136", "mxfast", 144),
        ("glibc.malloc.mmap_threshold=300007:glibc.malloc.top_pad=5", "mmap_threshold", 300_007),
        ("glibc.malloc.top_pad=5:glibc.malloc.top_pad=7", "top_pad", 7),
        ("glibc.rtld.nns=2:glibc.malloc.trim_threshold=9", "trim_threshold", 9),
    ],
)
def test_a_tunable_is_read(words: str, name: str, value: int) -> None:
    assert getattr(read_tunables({"GLIBC_TUNABLES": words}), name) == value


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("MALLOC_MMAP_THRESHOLD_", "mmap_threshold"), ("MALLOC_TRIM_THRESHOLD_", "trim_threshold"),
        ("MALLOC_TOP_PAD_", "top_pad"), ("MALLOC_MMAP_MAX_", "mmap_max"), ("MALLOC_ARENA_MAX", "arena_max"),
        ("MALLOC_PERTURB_", "perturb"),
    ],
)  # fmt: skip
def test_the_old_variables_say_the_same(variable: str, name: str) -> None:
    assert getattr(read_tunables({variable: "4099"}), name) == 4099
    both = {variable: "4099", "GLIBC_TUNABLES": f"glibc.malloc.{name}=4111"}
    assert getattr(read_tunables(both), name) == 4111


@pytest.mark.parametrize(
    "words",
    [
        "", ":", "=", ":::=:=", "glibc.malloc.top_pad", "glibc.malloc.top_pad=", "glibc.malloc.top_pad=much",
        "glibc.malloc.=7", "malloc.top_pad=7", "glibc.malloc.no_such_thing=7", "glibc.malloc.top_pad=1e3",
        "glibc.malloc.dynamic=0", "\x00\ud800", "glibc.malloc.top_pad=" + "9" * 5000,
    ],
)  # fmt: skip
def test_junk_changes_nothing(words: str) -> None:
    assert read_tunables({"GLIBC_TUNABLES": words, "MALLOC_TOP_PAD_": "wide", "TOP_PAD": "5"}) == Tunables()


@pytest.mark.parametrize("name", ["freed_mapping", "__class__", "__slots__"])
def test_names_that_only_python_knows_change_nothing(name: str) -> None:
    assert read_tunables({"GLIBC_TUNABLES": f"glibc.malloc.{name}=7"}) == Tunables()


def test_a_leading_zero_makes_a_number_octal() -> None:
    assert read_tunables({"GLIBC_TUNABLES": "glibc.malloc.top_pad=010000"}).top_pad == 4096


@pytest.mark.parametrize("name", ["mmap_threshold", "trim_threshold", "top_pad", "mmap_max"])
def test_these_stop_the_threshold_from_moving(name: str) -> None:
    told = read_tunables({"GLIBC_TUNABLES": f"glibc.malloc.{name}=131072"})
    told.freed_mapping(400_009)
    assert (told.dynamic, told.mmap_threshold != 400_009) == (False, True)


@pytest.mark.parametrize("name", ["tcache_count", "mxfast", "hugetlb", "arena_max"])
def test_these_do_not_stop_it(name: str) -> None:
    told = read_tunables({"GLIBC_TUNABLES": f"glibc.malloc.{name}=1"})
    told.freed_mapping(400_009)
    assert (told.mmap_threshold, told.trim_threshold) == (400_009, 800_018)


def test_all_these_names_are_known_to_the_c_library() -> None:
    if shutil.which(LOADER) is None:
        pytest.skip("no dynamic loader of glibc for x86-64")
    listed = subprocess.run([LOADER, "--list-tunables"], check=False, capture_output=True, text=True, timeout=20)
    if listed.returncode:
        pytest.skip("this glibc cannot list its tunables (it can since 2.33)")
    known = {line.split(":")[0].strip() for line in listed.stdout.splitlines()}
    assert "glibc.malloc.top_pad" in known
    ours = {name for name in Tunables.__slots__ if name != "dynamic"}
    ours |= {name for departure in DEPARTURES.values() for name in departure.tunables}
    assert {f"glibc.malloc.{name}" for name in ours} - known == set()
