"""Write docs/configuration.md, every key of the configuration with what is allowed, from its types (``make schema``)."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any

from quasicrit.config import json_schema
from tests.readme import ROOT

PATH = ROOT / "docs" / "configuration.md"
_HEAD = """# Configuration

Every key that a run knows, made from its types (`make schema`). `config.yaml` shows them in use, with comments; files given with
`--configfile` are merged over it, key by key, lists as a whole. A key that is not here, or a value that is not allowed, stops a run
before anything starts, with one sentence.
"""


def reference() -> str:
    """The page: the top level, then each section and what may stand in its lists, in the order in which they are met."""
    schema = json_schema()
    known = schema["$defs"]
    lines = [_HEAD, *_table(schema, known)]
    waiting = [(key, name) for key, value in schema["properties"].items() for name in _models(value)]
    done = set[str]()
    while waiting:
        key, name = waiting.pop(0)
        if name in done:
            continue
        done.add(name)
        model = known[name]
        # Entries of one list that differ by family are told apart by it.
        family = model["properties"].get("family", {}).get("const")
        title = f"{key}, family: {family}" if family else key
        lines += ["", f"## {title}", "", _text(model.get("description", "")), "", *_table(model, known)]
        waiting[:0] = [(f"{key}.{k}", n) for k, v in model["properties"].items() for n in _models(v)]
    return "\n".join(lines) + "\n"


def _models(value: Mapping[str, Any]) -> Iterator[str]:
    """Names of the models that a value may hold."""
    if "$ref" in value:
        yield value["$ref"].rsplit("/", 1)[1]
    for part in (*value.get("anyOf", ()), *value.get("oneOf", ())):
        yield from _models(part)
    if isinstance(value.get("items"), Mapping):
        yield from _models(value["items"])


def _table(model: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    required = set(model.get("required", ()))
    rows = ["| key | allowed | default |", "|---|---|---|"]
    for key, value in model["properties"].items():
        default = "required" if key in required else _default(value, known)
        rows.append(f"| `{key}` | {_allowed(value)} | {default} |")
    return rows


def _default(value: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    if any(True for _ in _models(value)) and value.get("default") not in (None, []):
        return "see below"
    return _shown(value.get("default"))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {_shown(item)}" for key, item in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _allowed(value: Mapping[str, Any]) -> str:
    """What a value may be, in words."""
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return ", ".join(f"`{item}`" for item in value["enum"])
    if "$ref" in value:
        return "a section of its own"
    for several in ("anyOf", "oneOf"):
        if several in value:
            return " or ".join(dict.fromkeys(_allowed(part) for part in value[several]))
    kind = value.get("type")
    if kind == "array":
        if "prefixItems" in value:
            return "[" + ", ".join(_allowed(item) for item in value["prefixItems"]) + "]"
        return f"list: {_allowed(value['items'])}"
    if kind == "object":
        names = value.get("propertyNames", {}).get("enum")
        inner = value.get("additionalProperties")
        held = _allowed(inner) if isinstance(inner, Mapping) else "anything"
        return f"by {', '.join(names) if names else 'name'}: {held}"
    if kind is None:
        return "anything"
    if kind == "null":
        return "none"
    return _limits(
        {"integer": "whole number", "number": "number", "string": "text", "boolean": "true, false"}[kind], value
    )


def _limits(word: str, value: Mapping[str, Any]) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    made = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    if "multipleOf" in value:
        made.append(f"a multiple of {value['multipleOf']:g}")
    if "pattern" in value:
        made.append(f"like `{value['pattern']}`")
    return " ".join([word, ", ".join(made)]).strip()


def _text(description: str) -> str:
    """A docstring as Markdown, on lines of its own length."""
    text = inspect.cleandoc(description).replace("``", "`")
    return "\n\n".join(re.sub(r"\s*\n\s*", " ", part) for part in text.split("\n\n"))


if __name__ == "__main__":
    PATH.write_text(reference(), encoding="utf-8")
