"""Formats of tracepoints, as kernels of several ages write them."""

from __future__ import annotations

import pytest

from observer.linux.tracefs import Field, parse_format

COMMON = """\
name: {name}
ID: {number}
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:unsigned char common_flags;\toffset:2;\tsize:1;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

"""
ALLOCATED = (
    COMMON.format(name="mm_page_alloc", number=653)
    + """\
\tfield:unsigned long pfn;\toffset:8;\tsize:8;\tsigned:0;
\tfield:unsigned int order;\toffset:16;\tsize:4;\tsigned:0;
\tfield:unsigned long gfp_flags;\toffset:24;\tsize:8;\tsigned:0;

print fmt: "page=%p", {flags}
"""
)
SHIFTED = '{( unsigned long)(( gfp_t)((((1UL))) << (8))), "__GFP_ZERO"}, {( unsigned long)(( gfp_t)((((1UL))) << (20))), "__GFP_HARDWALL"}'
WRITTEN = '{(unsigned long)(((gfp_t)0x100u)), "__GFP_ZERO"}, {(unsigned long)((gfp_t)0x20000u), "__GFP_HARDWALL"}'
SUMS = '{(unsigned long)((((gfp_t)(0x400u|0x800u)) | ((gfp_t)0x40u))), "GFP_NOFS"}, {(( gfp_t)((((1UL))) << (5)))|(( gfp_t)((((1UL))) << (11))), "GFP_ATOMIC"}'


def test_a_field_is_found_where_the_kernel_put_it() -> None:
    found = parse_format(ALLOCATED.replace("{flags}", SHIFTED))
    assert found.number == 653
    assert found.fields["order"] == Field(16, 4)
    assert found.fields["pfn"] == Field(8, 8)
    assert found.fields["common_flags"] == Field(2, 1)
    moved = parse_format(ALLOCATED.replace("offset:16", "offset:40").replace("{flags}", ""))
    assert moved.fields["order"] == Field(40, 4)


@pytest.mark.parametrize(("text", "hardwall"), [(SHIFTED, 1 << 20), (WRITTEN, 1 << 17)])
def test_flags_are_those_of_this_kernel(text: str, hardwall: int) -> None:
    assert parse_format(ALLOCATED.replace("{flags}", text)).flags == {"__GFP_ZERO": 0x100, "__GFP_HARDWALL": hardwall}


def test_names_of_several_flags_are_none() -> None:
    assert parse_format(ALLOCATED.replace("{flags}", SUMS)).flags == {}


def test_an_array_is_one_field() -> None:
    text = COMMON.format(name="sys_enter", number=443)
    text += "\tfield:long id;\toffset:8;\tsize:8;\tsigned:1;\n\tfield:unsigned long args[6];\toffset:16;\tsize:48;\tsigned:0;\n"
    assert parse_format(text).fields["args"] == Field(16, 48)


def test_old_kernels_that_tell_no_sign_are_read() -> None:
    text = "name: x\nID: 7\nformat:\n\tfield:unsigned long address;\toffset:8;\tsize:8;\n"
    assert parse_format(text).fields == {"address": Field(8, 8)}


def test_what_is_no_format_is_refused() -> None:
    with pytest.raises(ValueError, match="without its ID"):
        parse_format("name: x\n")
