"""What the numbers of a rule depend on besides its inputs: its code, found by its imports, and its libraries."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from importlib import metadata
from pathlib import Path

__all__ = ["fingerprint", "modules_of"]

_ROOT = Path(__file__).resolve().parent
_LIBRARIES = ("numba", "numpy", "pyarrow", "scipy", "torch")


def _file_of(module: str) -> Path | None:
    parts = module.split(".")
    if parts[0] != "quasicrit":
        return None
    path = _ROOT.joinpath(*parts[1:])
    if (path / "__init__.py").is_file():
        return path / "__init__.py"
    return path.with_suffix(".py") if path.with_suffix(".py").is_file() else None


@cache
def _parsed(module: str) -> tuple[str, tuple[str, ...]]:
    """The syntax tree of a module of this package as text, without its docstrings, and the names here that it may import.

    Parsed once, though most modules are part of many fingerprints: a tree takes longer to print than its module to run.
    """
    path = _file_of(module)
    if path is None:
        return "", ()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif (
            isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and ast.get_docstring(node, clean=False) is not None
        ):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree), tuple(sorted(name for name in found if _file_of(name) is not None))


def modules_of(module: str) -> list[str]:
    """The modules of this package that ``module`` imports, directly or not, itself included; sorted."""
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_parsed(name)[1])
    return sorted(seen)


@cache
def fingerprint(module: str) -> str:
    """Hash of the parsed source of ``module`` and all it imports here, and of the versions of the numeric libraries.

    The syntax tree is hashed without its docstrings, so that comments, formatting and documentation change nothing.
    """
    digest = hashlib.sha256()
    for name in modules_of(module):
        digest.update(f"{name}:{_parsed(name)[0]}\n".encode())
    for library in _LIBRARIES:
        digest.update(f"{library}=={metadata.version(library)}\n".encode())
    return digest.hexdigest()[:16]
