"""An image is the file that is mapped, a function of the family is what others call by its name, and all costs little."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from observer.code.elf import Elf, load
from observer.instruments.places import file_of, without_names
from observer.model.events import Call
from observer.model.machine import Image
from tests.live.users import Observe, compiled, line_of, observe, workshop
from tests.recordings import Recorded

__all__ = ["observe", "workshop"]

NOT_ALLOWED = 77
HERE = line_of("counted")


def of_program(recorded: Recorded, size: int) -> list[Call]:
    """The mallocs of *size* bytes that the program itself made, in whatever process."""
    return [call for call in recorded.calls if call.op == "malloc" and call.size == size and call.origin == "program"]


def sites(calls: list[Call]) -> set[tuple[str, int | None]]:
    return {(Path(call.site.file or "?").name, call.site.line) for call in calls}


def unobserved(recorded: Recorded) -> list[str]:
    return [note for note in recorded.trace.meta.notes if "not observed" in note]


def sound(recorded: Recorded) -> Recorded:
    """What ran without fault and adds up; skips where the kernel did not let the program have its own mounts."""
    if recorded.status == NOT_ALLOWED:
        pytest.skip("no mount namespace may be made here")
    assert recorded.status == 0, recorded.stderr
    recorded.assert_balanced()
    return recorded


# ---- which file ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("-Wl,--build-id=none",), ("-static",)])
def test_a_program_over_which_another_is_mounted_is_the_other(
    observe: Observe, workshop: Path, flags: tuple[str, ...]
) -> None:
    binder = compiled(workshop, "bind_and_exec")
    place = compiled(workshop, "outer", *flags, "-DTIMES=3", "-DSIZE=111", source="counted")
    other = compiled(workshop, "inner", *flags, "-DTIMES=13", "-DSIZE=5003", "-DSHIFTED", source="counted")
    found = sound(observe(binder, other, place, place))
    assert len(of_program(found, 5003)) == 13
    assert sites(of_program(found, 5003)) == {("counted.c", HERE)}
    assert not of_program(found, 111)
    assert unobserved(found) == []


def test_a_library_over_which_another_is_mounted_is_the_other(observe: Observe, workshop: Path) -> None:
    binder, opens = compiled(workshop, "bind_and_exec"), compiled(workshop, "opens")
    place = compiled(workshop, "libbump.so", "-shared", "-fPIC", source="bump")
    other = compiled(workshop, "libother.so", "-shared", "-fPIC", "-DOTHER", source="bump")
    found = sound(observe(binder, other, place, opens, place))
    pieces = of_program(found, 96)
    assert len(pieces) == 20
    assert sum(call.op == "free" and call.pointer in {piece.result for piece in pieces} for call in found.calls) == 20
    assert sites(pieces) == {("opens.c", line_of("opens"))}


@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_a_program_that_is_deleted_or_replaced_while_it_runs_keeps_its_lines(
    observe: Observe, workshop: Path, how: str
) -> None:
    program = compiled(workshop, "gone", source="counted")
    words = [program, "now"] if how == "deleted" else [program, "by", compiled(workshop, "opens")]
    found = sound(observe(*words))
    assert len(of_program(found, 777)) == 5
    assert sites(of_program(found, 777)) == {("counted.c", HERE)}


def test_nobody_waits_for_a_program_that_has_become_a_pipe(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "counted")
    found = sound(observe("/bin/sh", "-c", f"{program}; rm {program}; mkfifo {program}; ls {program} >&2"))
    assert len(of_program(found, 777)) == 5


def test_a_library_that_is_deleted_as_soon_as_it_is_loaded_has_its_calls(observe: Observe, workshop: Path) -> None:
    library = compiled(workshop, "libbump.so", "-shared", "-fPIC", source="bump")
    found = sound(observe(compiled(workshop, "opens"), library, "delete"))
    assert len(of_program(found, 96)) == 20


def test_one_file_at_two_paths_is_two_programs_with_one_truth(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "counted")
    (workshop / "again").hardlink_to(program)
    found = sound(observe("/bin/sh", "-c", f"{program}; {workshop}/again; true"))
    assert len(of_program(found, 777)) == 10
    assert sites(of_program(found, 777)) == {("counted.c", HERE)}


def test_a_program_in_memory_has_its_calls_and_lines(observe: Observe, workshop: Path) -> None:
    static = compiled(workshop, "static", "-static", source="counted")
    found = sound(observe(compiled(workshop, "from_memfd"), static))
    assert len(of_program(found, 777)) == 5
    assert sites(of_program(found, 777)) == {("counted.c", HERE)}


@pytest.mark.parametrize("kind", ["memory", "served", "busy"])
def test_what_is_mounted_can_be_taken_away_again(observe: Observe, workshop: Path, kind: str) -> None:
    place = workshop / "place"
    place.mkdir()
    program = compiled(workshop, "counted", "-DTIMES=13", "-DSIZE=5003")
    found = sound(observe(compiled(workshop, "serves"), kind, str(place), program))
    assert found.stdout.splitlines()[-2:] == ["0", "0"]  # the program's status, and that of umount(2)
    calls = of_program(found, 5003) if kind != "busy" else [call for call in found.calls if call.size == 5003]
    assert len(calls) == 13
    if kind == "busy":
        assert any("the program that serves it did not answer" in note for note in unobserved(found))
    else:
        assert sites(calls) == {("counted.c", HERE)}


def test_a_file_that_has_gone_before_its_lines_are_read_is_said_to_have(workshop: Path) -> None:
    program = compiled(workshop, "counted")
    elf = load(program)
    assert elf is not None
    image = Image(program, 0, 0x1000, 0x2000, elf.build_id, "program", file=elf.identity)
    assert file_of(image) is elf
    compiled(workshop, "counted", "-DSIZE=5")
    assert file_of(image) is None
    assert without_names([image]) == [
        f"no functions and lines of {program}: the file that was mapped has changed or is gone"
    ]


def test_a_file_that_is_made_code_after_it_was_mapped_has_its_calls(observe: Observe, workshop: Path) -> None:
    library = compiled(workshop, "libnoted.so", "-shared", "-fPIC", "-nostdlib", "-O1", source="noted")
    place = {name: address for address, _size, name in Elf(library).functions}["malloc"]
    found = sound(observe(compiled(workshop, "reads_then_runs"), library, str(place)))
    assert len(of_program(found, 96)) == 20
    assert sites(of_program(found, 96)) == {("reads_then_runs.c", line_of("reads_then_runs"))}


# ---- whose calls are not seen -------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["env", "sh", "memfd", "itself"])
def test_where_nothing_names_the_allocator_it_is_said_of_that_program(
    observe: Observe, workshop: Path, way: str
) -> None:
    bare = compiled(workshop, "bare", "-static", "-s", source="counted")
    ways = {
        "env": ["/usr/bin/env", bare], "sh": ["/bin/sh", "-c", f"{bare}; true"], "itself": [bare],
        "memfd": [compiled(workshop, "from_memfd"), bare],
    }  # fmt: skip
    found = sound(observe(*ways[way]))
    name = "memfd:two" if way == "memfd" else bare
    assert len(unobserved(found)) == 1
    assert any(name in note for note in unobserved(found))


def test_a_program_that_starts_others_is_not_said_to_be_unobserved(observe: Observe, workshop: Path) -> None:
    found = sound(observe("/usr/bin/env", compiled(workshop, "counted")))
    assert unobserved(found) == []
    assert len(of_program(found, 777)) == 5


def test_what_a_process_loads_that_forbids_to_be_read_is_seen_or_said_not_to_be(
    observe: Observe, workshop: Path
) -> None:
    library = compiled(workshop, "libbump.so", "-shared", "-fPIC", source="bump")
    found = sound(observe(compiled(workshop, "forbids"), library))
    said = [note for note in unobserved(found) if "forbade to be read" in note]
    assert len(of_program(found, 96)) == (0 if said else 20)
    may_read_all = found.trace.meta.machine.uid == 0
    assert bool(said) != may_read_all


# ---- which functions ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [(), ("-static",), ("-O2",)])
def test_static_functions_that_are_called_like_the_family_are_not_of_it(
    observe: Observe, workshop: Path, flags: tuple[str, ...]
) -> None:
    tree = compiled(workshop, "tree.o", "-c", *flags, source="namesakes_tree")
    found = sound(observe(compiled(workshop, "namesakes", tree, *flags)))
    ours = Counter(call.op for call in found.calls if call.site.file and call.site.file.endswith(".c"))
    assert ours == {"malloc": 10, "free": 10}


def test_all_versions_of_a_function_are_seen(observe: Observe, workshop: Path) -> None:
    (workshop / "map").write_text("V1 { global: free; malloc; local: *; };\nV2 { global: free; } V1;\n", "ascii")
    library = compiled(
        workshop, "libversions.so", "-shared", "-fPIC", f"-Wl,--version-script={workshop}/map", source="versions"
    )
    found = sound(observe(compiled(workshop, "both_versions"), library))
    pieces = of_program(found, 48)
    assert len(pieces) == 7
    assert sum(call.op == "free" and call.pointer == pieces[0].result for call in found.calls) == 7


@pytest.mark.parametrize("flags", [(), ("-O2",), ("-DSHARED_CHOICE",), ("-s",)])
def test_a_function_that_is_chosen_as_the_file_is_loaded_is_seen(
    observe: Observe, workshop: Path, flags: tuple[str, ...]
) -> None:
    library = compiled(workshop, "libchosen.so", "-shared", "-fPIC", *flags, source="chosen")
    found = sound(observe(compiled(workshop, "opens"), library))
    assert len(of_program(found, 96)) == 20
    assert unobserved(found) == []


def test_where_it_cannot_be_told_what_is_chosen_it_is_said(observe: Observe, workshop: Path) -> None:
    library = compiled(workshop, "libchosen.so", "-shared", "-fPIC", "-DTABLE", source="chosen")
    found = sound(observe(compiled(workshop, "opens"), library))
    assert [note for note in unobserved(found) if "malloc: which code bears that name" in note] != []
    assert of_program(found, 96) == []


# ---- which role ---------------------------------------------------------------------------------------------


def test_the_c_library_is_the_one_that_starts_programs_not_what_was_once_a_part_of_it(
    observe: Observe, workshop: Path
) -> None:
    done = subprocess.run(["gcc", "-print-file-name=libpthread.so.0"], capture_output=True, text=True, check=True)
    companion = done.stdout.strip()
    if not Path(companion).is_absolute():
        pytest.skip("this C library has no libpthread.so.0")
    found = sound(observe(compiled(workshop, "counted", "-Wl,--no-as-needed", companion)))
    roles = {Path(image.path).name: image.role for image in found.trace.meta.images}
    assert roles["libpthread.so.0"] == "libc"
    assert Path(found.trace.meta.machine.libc).name == "libc.so.6"
    assert found.trace.meta.machine.libc_version


def test_a_library_is_not_taken_for_the_c_library_or_the_loader_by_its_name(observe: Observe, workshop: Path) -> None:
    names = ("libc-tools.so", "ld-tools.so", "libpthread_tools.so")
    for name in names:
        compiled(workshop, name, "-shared", "-fPIC", source="bump")
    found = sound(observe(compiled(workshop, "opens"), str(workshop / names[0])))
    found_too = sound(observe(compiled(workshop, "opens"), str(workshop / names[1])))
    for recorded, name in ((found, names[0]), (found_too, names[1])):
        assert {image.role for image in recorded.trace.meta.images if image.path.endswith(name)} == {"library"}
        assert len(of_program(recorded, 96)) == 20


def test_a_program_that_the_loader_is_told_to_run_is_the_program(observe: Observe, workshop: Path) -> None:
    program = compiled(workshop, "counted")
    loader = subprocess.run(["readelf", "-p", ".interp", program], capture_output=True, text=True, check=True)
    found = sound(observe(loader.stdout.split()[-1], program))
    assert {Path(image.path).name: image.role for image in found.trace.meta.images}["counted"] == "program"
    assert sites(of_program(found, 777)) == {("counted.c", HERE)}
    assert unobserved(found) == []


@pytest.mark.skipif(shutil.which("musl-gcc") is None, reason="musl-gcc is not installed")
def test_musls_loader_is_its_c_library(observe: Observe, workshop: Path) -> None:
    program = workshop / "musl"
    source = Path(__file__).parent / "trials" / "counted.c"
    subprocess.run(["musl-gcc", "-g", "-fno-builtin", "-o", str(program), str(source)], check=True)
    found = sound(observe(str(program)))
    assert [image.role for image in found.trace.meta.images] == ["program", "libc"]
    assert len(of_program(found, 777)) == 5


# ---- what it costs ------------------------------------------------------------------------------------------


def test_what_is_reserved_costs_nothing(observe: Observe, workshop: Path) -> None:
    # An entry a page of 5 x 60 GiB would be a file of 600 MB, which this limit does not allow.
    found = sound(observe(compiled(workshop, "reserves"), "5", before=("prlimit", f"--fsize={32 << 20}")))
    touched = [fault for fault in found.faults if (fault.mapping or "").startswith("map#")]
    assert len(touched) >= 10
    if found.trace.meta.how["fault.frame"].startswith("exact"):
        assert all(fault.frame for fault in touched)


@pytest.mark.parametrize("many", [10, 3000])
def test_mappings_that_no_argument_tells_are_looked_up_one_by_one(observe: Observe, workshop: Path, many: int) -> None:
    found = sound(observe(compiled(workshop, "remaps"), str(many)))
    (line,) = [line for line in found.trace.meta.ledger if line.identity.startswith("mappings replayed")]
    assert line.verdict == "COMPLETE"
