"""Which room may import which: the walls of the house."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path

from tests.architecture.house import PACKAGE, Module, map_of_the_house, modules, of_rooms, rooms

FACTS = ("arch", "glibc")
PURE = ("simulator", "story", "compare")
CALLERS = frozenset({"runs", "labs", "cli"})
AT_THE_DOOR = frozenset({"linux", "code", "tracee", "instruments", "heap"})
KNOWING_CODE = AT_THE_DOOR - {"linux"}


def offenders(rule: Callable[[Module], bool]) -> list[str]:
    return [module.name for module in modules() if rule(module)]


def prints(module: Module) -> bool:
    calls = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
    return any(isinstance(called, ast.Name) and called.id == "print" for called in calls)


def test_the_house_is_not_empty() -> None:
    assert {
        "model", "arch", "linux", "code", "heap", "recording", "tracee", "instruments", "trace", "story", "report",
        "runs", "labs", "cli",
    } <= set(rooms())  # fmt: skip
    assert len(modules()) > 50


def test_the_shared_words_import_nothing_else_of_ours() -> None:
    shared = {"model", "errors"}
    assert offenders(lambda module: module.room in shared and not module.rooms_imported <= shared) == []


def test_facts_of_processors_and_of_the_allocator_import_only_the_shared_words() -> None:
    shared = {"model", "errors"}
    assert offenders(lambda module: module.room in FACTS and bool(module.rooms_imported - shared - {module.room})) == []


def test_the_pure_rooms_import_only_the_shared_words() -> None:
    allowed = {"model", "errors", *FACTS}
    assert offenders(lambda module: module.room in PURE and bool(module.rooms_imported - allowed - {module.room})) == []


def test_what_is_recorded_is_laid_out_without_who_records_it() -> None:
    allowed = {"model", "files", "recording"}
    assert offenders(lambda module: module.room == "recording" and not module.rooms_imported <= allowed) == []


def test_only_those_who_watch_import_the_door_to_the_kernel() -> None:
    assert offenders(lambda module: "linux" in module.rooms_imported and module.room not in AT_THE_DOOR) == []


def test_nothing_imports_the_command_line() -> None:
    assert offenders(lambda module: "cli" in module.rooms_imported and module.room not in ("cli", "__main__")) == []


def test_only_the_command_line_imports_whole_runs() -> None:
    assert offenders(lambda module: "runs" in module.rooms_imported and module.room not in CALLERS) == []


def test_whole_runs_print_nothing_and_know_no_kernel() -> None:
    barred = {"report", "linux"}
    assert offenders(lambda module: module.room == "runs" and bool(module.rooms_imported & barred)) == []
    assert offenders(lambda module: module.room == "runs" and prints(module)) == []


def test_labs_know_no_kernel_and_keep_the_student_program_out_of_their_process() -> None:
    assert offenders(lambda module: module.room == "labs" and "linux" in module.rooms_imported) == []
    recording = {"observer.runs.record", "observer.instruments.session"}
    found = offenders(lambda module: module.room == "labs" and module.imports_any_of(*recording))
    assert found == ["observer.labs.recorder"]


def test_checks_of_labs_are_evaluated_by_no_evaluator_of_pythons() -> None:
    called = {
        (module.name, node.func.id)
        for module in of_rooms("labs")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert {name for name, function in called if function in ("eval", "exec", "compile", "__import__")} == set()


def test_the_command_line_imports_the_work_only_where_it_is_done() -> None:
    light = ("observer.cli.", "observer.errors", "observer.model.filenames")
    heavy = [
        (module.name, node.module)
        for module in of_rooms("cli")
        for node in module.tree.body
        if isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("observer.")
        if not (node.module or "").startswith(light) and node.module != "observer"
    ]
    assert heavy == []


def test_the_heap_is_read_without_knowing_who_watches() -> None:
    allowed = {"model", "errors", "glibc", "linux", "code", "heap"}
    assert offenders(lambda module: module.room == "heap" and not module.rooms_imported <= allowed) == []
    outside = {"observer.heap.process"}
    pure = [module for module in of_rooms("heap") if module.name not in outside]
    assert [module.name for module in pure if module.rooms_imported & {"linux", "code"}] == []


def test_ctypes_stays_at_the_door_to_the_kernel() -> None:
    assert offenders(lambda module: module.imports_any_of("ctypes") and module.room != "linux") == []


def test_only_those_who_watch_import_what_is_known_of_code() -> None:
    assert offenders(lambda module: "code" in module.rooms_imported and module.room not in KNOWING_CODE) == []


def test_python_ptrace_stays_where_system_calls_have_words() -> None:
    assert offenders(lambda module: module.imports_any_of("ptrace") and module.room != "code") == []


def test_a_room_imports_only_from_rooms_above_it_on_the_map() -> None:
    order = map_of_the_house()
    upwards = [
        (module.name, other)
        for room in rooms()
        for module in of_rooms(room)
        for other in module.rooms_imported & set(order)
        if order.index(other) > order.index(room)
    ]
    assert upwards == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    names = {module.name for module in modules()}
    left = {
        module.name: {found for found in module.imports if found in names and found != module.name}
        for module in modules()
    }
    rooms_themselves = {name for name in names if (PACKAGE.parent / Path(*name.split("."))).is_dir()}
    left = {name: found - rooms_themselves for name, found in left.items()}
    while free := {name for name, found in left.items() if not found}:
        left = {name: found - free for name, found in left.items() if name not in free}
    assert left == {}
