"""The package as source text: its modules, what they import, what they publish. Nothing is imported to be looked at."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2] / "observer"


@dataclass(frozen=True)
class Module:
    """One source file of the package; `name` is dotted (`observer.code.elf`), a room's `__init__` has the room's name."""

    path: Path
    name: str

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    @property
    def room(self) -> str:
        """The folder below the package (`linux`), or the module itself where it lies at the top (`errors`)."""
        return self.name.partition(".")[2].partition(".")[0]

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))

    @property
    def has_code(self) -> bool:
        """Whether there is more than a docstring."""
        return any(not isinstance(node, ast.Expr) for node in self.tree.body)

    @cached_property
    def imports(self) -> frozenset[str]:
        """Dotted names of all that is imported anywhere in the file; `from a import b` gives both a and a.b."""
        return frozenset(self._imports())

    def _imports(self) -> Iterator[str]:
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                origin = self._origin(node)
                yield origin
                yield from (f"{origin}.{alias.name}" for alias in node.names)

    def _origin(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        inside = self.name.split(".") + (["__init__"] if self.path.name == "__init__.py" else [])
        return ".".join(inside[: -node.level] + ([node.module] if node.module else []))

    def imports_any_of(self, *names: str) -> bool:
        """Whether one of the packages or modules *names*, or something inside them, is imported."""
        return any(found == name or found.startswith(name + ".") for found in self.imports for name in names)

    @property
    def rooms_imported(self) -> frozenset[str]:
        """The rooms of ours that the file imports from; `observer` itself is not a room."""
        ours = {found.split(".")[1] for found in self.imports if found.startswith("observer.")}
        return frozenset(name for name in ours if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file())

    @property
    def published(self) -> tuple[str, ...] | None:
        """The names in `__all__`, or None when there is none."""
        node = self.definitions.get("__all__")
        value = node.value if isinstance(node, (ast.Assign, ast.AnnAssign)) else None
        return tuple(ast.literal_eval(value)) if value is not None else None

    @property
    def definitions(self) -> dict[str, ast.AST]:
        """Everything that has a name at the top level of the file."""
        found: dict[str, ast.AST] = {}
        for node in ast.iter_child_nodes(self.tree):
            for name in _names(node):
                found[name] = node
        return found


def _names(node: ast.AST) -> list[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [node.target.id]
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        return [alias.asname or alias.name for alias in node.names]
    return []


@cache
def modules() -> tuple[Module, ...]:
    """All modules of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append(Module(path, ".".join(parts[:-1] if parts[-1] == "__init__" else parts)))
    return tuple(found)


def rooms() -> tuple[str, ...]:
    """The rooms that exist: folders of the package with code in them."""
    return tuple(sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py")))


def of_rooms(*names: str) -> list[Module]:
    """All modules of some rooms."""
    return [module for module in modules() if module.room in names]


def map_of_the_house() -> tuple[str, ...]:
    """The rooms that the package's own docstring lists, from top to bottom."""
    text = ast.get_docstring(next(module for module in modules() if module.name == "observer").tree) or ""
    return tuple(re.findall(r"^- `(\w+)/`", text, re.MULTILINE))
