"""Images beside and over each other, and files that are no longer what was mapped."""

from __future__ import annotations

from pathlib import Path

from observer.code.elf import load
from observer.instruments.places import CodeMap, file_of
from observer.model.machine import Image
from tests.unit.code.compiled import address_of, compile_c, needs_compiler

PROGRAM = "int one(void) { return 1; }\nint main(void) { return one(); }\n"


def test_an_image_over_the_middle_of_another_leaves_both_its_ends() -> None:
    code = CodeMap((Image("/a", 0, 0x1000, 0x9000),))
    code.add(Image("/b", 0, 0x3000, 0x5000))
    found = [(image.path, image.start, image.end) for image in code.images]
    assert found == [("/a", 0x1000, 0x3000), ("/b", 0x3000, 0x5000), ("/a", 0x5000, 0x9000)]
    code.add(Image("/c", 0, 0x1000, 0x9000))
    assert [image.path for image in code.images] == ["/c"]


@needs_compiler
def test_a_place_is_named_by_the_file_that_was_mapped_and_by_no_other(tmp_path: Path) -> None:
    path = compile_c(tmp_path, "program", PROGRAM, "-g", "-Wl,--build-id=none")
    elf = load(str(path))
    assert elf is not None
    place = address_of(elf, "one")
    image = Image(str(path), 0x10000, 0x10000, 0x20000, elf.build_id, "program", file=elf.identity)
    site = CodeMap((image,)).site_at(0x10000 + place)
    assert (site.function, site.line) == ("one", 1)
    compile_c(tmp_path, "program", "\n\n" + PROGRAM, "-g", "-Wl,--build-id=none")
    site = CodeMap((image,)).site_at(0x10000 + place)
    assert (site.function, site.line, site.offset) == (None, None, place)


@needs_compiler
def test_a_copy_with_the_same_build_id_is_as_good(tmp_path: Path) -> None:
    path = compile_c(tmp_path, "program", PROGRAM, "-g", "-Wl,--build-id=sha1")
    elf = load(str(path))
    assert elf is not None
    image = Image(str(path), 0, 0x1000, 0x2000, elf.build_id, "program", file=elf.identity)
    content = path.read_bytes()
    path.unlink()
    assert file_of(image) is None
    path.write_bytes(content)
    copy = file_of(image)
    assert copy is not None
    assert copy.build_id == elf.build_id
