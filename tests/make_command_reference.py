"""Write docs/command.md, every subcommand with its options and the keys of its answer (``make schema``)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo

from quasicrit.cli import app
from quasicrit.stages.answer_keys import ANSWERS, Key
from tests.readme import ROOT

PATH = ROOT / "docs" / "command.md"
_HEAD = """# The command

Every subcommand with its options and the keys of its answer, made from the code (`make schema`). Tables may be Parquet, CSV or columns of
text; `-` is standard input. The answer is a table for people or, with `--json`, one JSON object on one line. Exit codes: 0 answered; 2
bad input, with one line on standard error; 1 a bug.

Keys are stable; more may be added. Nested ones are joined by dots, `[]` stands for every entry of a list, `{a,b}` for a and b, and `*` for
any name. A value that could not be had is `null`, and `reasons` says why under its key; so is any number that is not finite (`"infinite"`).
Types are those of JSON. An empty unit is that of a number without dimension, a count, or of the user's own column.
"""


def reference() -> str:
    """The page: a section for each subcommand, in the order of its help."""
    parts = [_HEAD]
    for command in app.registered_commands:
        callback = command.callback
        assert callback is not None
        name = command.name or callback.__name__
        options = sorted(_options(callback), key=lambda one: not one.argument)
        arguments = [one.name if one.default == "required" else f"[{one.name}]" for one in options if one.argument]
        parts += [
            f"## {name}",
            inspect.getdoc(callback) or "",
            f"`{' '.join(['quasicrit', name, *arguments, '[OPTIONS]'])}`",
            _table(
                ("option", "value", "default", ""),
                [(f"`{one.name}`", one.value, one.default, one.help) for one in options],
            ),
            _keys(ANSWERS[name]),
        ]
    return "\n\n".join(part.strip() for part in parts) + "\n"


@dataclass(frozen=True)
class _Option:
    """An option or, ``argument``, an argument, in words."""

    name: str
    argument: bool
    value: str
    default: str
    help: str


def _options(callback: Callable[..., Any]) -> Iterator[_Option]:
    hints = get_type_hints(callback, include_extras=True)
    for name, parameter in inspect.signature(callback).parameters.items():
        kind, *details = get_args(hints[name])
        (info,) = (one for one in details if isinstance(one, OptionInfo | ArgumentInfo))
        argument = isinstance(info, ArgumentInfo)
        # Within Annotated the default of an Option is its name, where it has one.
        own = info.default if isinstance(info.default, str) else f"--{name.replace('_', '-')}"
        shown = (info.metavar or name.upper()) if argument else own
        said = re.search(r" ?Default: ([^.]*)\.", info.help)
        default = _default(parameter.default) if said is None else said[1]
        text = info.help if said is None else info.help.replace(said[0], "")
        yield _Option(shown, argument, _value(kind, info.min, info.max), default, text)


def _default(value: Any) -> str:
    if value is inspect.Parameter.empty:
        return "required"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value) or "''"


def _value(kind: Any, low: float | None, high: float | None) -> str:
    """What may be given, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        (kind,) = (part for part in parts if part is not type(None))
        return _value(kind, low, high)
    if origin is Literal:
        return ", ".join(f"`{part}`" for part in parts)
    if origin is tuple:
        return ", ".join(_value(part, None, None) for part in parts)
    if origin is list:
        return f"{_value(parts[0], low, high)}, one or more"
    word = {int: "integer", float: "number", str: "text", bool: "flag"}[kind]
    limits = [f"{sign} {limit:g}" for sign, limit in (("≥", low), ("≤", high)) if limit is not None]
    return " ".join([word, ", ".join(limits)]).strip()


def _keys(keys: tuple[Key, ...]) -> str:
    """The table of an answer; a column that is empty for all of its keys is left out."""
    columns: dict[str, Callable[[Key], str]] = {
        "key": lambda key: f"`{key.path}`",
        "type": lambda key: key.type,
        "unit": lambda key: key.unit,
        "printed": lambda key: key.when,
        "null": lambda key: key.null,
        "meaning": lambda key: (
            key.meaning + (f": {', '.join(f'`{one}`' for one in key.choices)}" if key.choices else "")
        ),
    }
    used = {name: show for name, show in columns.items() if any(show(key) for key in keys)}
    return _table(tuple(used), [tuple(show(key) for show in used.values()) for key in keys])


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
