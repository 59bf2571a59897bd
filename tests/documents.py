"""Pages of Markdown that are run: their fenced blocks are files, Python, and commands with what these print.

A block counts by its language:

- ``python``: a file, if its first line is ``# NAME.py``; else it is executed, all of a page in one namespace.
- ``yaml``: a file, if its first line is ``# NAME.yaml``.
- ``console``: commands behind ``$``, each followed by what it prints.
- ``sh``: commands alone, a line each; only how they end counts.
- ``text``: what the Python block above prints.

Of what is shown, text must agree exactly (white space apart) and numbers within 2 %, or within half a unit of the last digit that is
shown; ``tolerance=0.1`` behind the language sets another share for one block, and the page says why. A line ``...`` stands for any
lines, three dots in a line for any text; lines without dots between them follow each other. A command must end with 0, or, where the
page shows that ``quasicrit`` refused, with 2.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt

from quasicrit.cli import main

__all__ = ["Block", "Command", "DocumentError", "Page", "blocks_of", "commands_of", "compare", "run_page"]

_TOLERANCE = 0.02
_NUMBER = re.compile(r"(?<![A-Za-z_\d.])[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w])")
_FILE = re.compile(r"# (\w[\w-]*\.(?:py|yaml))\s*\n")
_COMMANDS = ("console", "sh")
#: What asks for a shell.
_SHELL = re.compile(r"[|<>&;$*]")
_TIMEOUT = 600
#: A remark behind a command, or alone.
_REMARK = re.compile(r"(^|\s+)#.*$|\s+$")


class DocumentError(AssertionError):
    """A page does not do what it says."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, the line of the page that its text begins at, the tolerance of its numbers."""

    language: str
    text: str
    line: int
    tolerance: float = _TOLERANCE

    @property
    def file(self) -> str | None:
        """The name of the file that it is, if it is one."""
        named = _FILE.match(self.text) if self.language in ("python", "yaml") else None
        return named[1] if named else None


@dataclass(frozen=True)
class Command:
    """A command, what the page shows of its output (None: nothing is said of it), and the line where it stands."""

    text: str
    shown: str | None
    line: int
    tolerance: float


@dataclass
class Page:
    """A page and how it is run.

    ``folder``: where. ``replace``: what is put in place of what it says. ``names``: what its Python knows from the start. ``supplies``: a
    folder with the reader's files, which every block finds as they were. ``plain``: the language of blocks that name none. ``only``:
    commands that begin otherwise are not run. ``refused``: commands that may end with 2.
    """

    path: Path
    folder: Path
    replace: Mapping[str, str] = field(default_factory=dict)
    names: Mapping[str, Any] = field(default_factory=dict)
    supplies: Path | None = None
    plain: str = ""
    only: str = ""
    refused: Collection[str] = ()

    def text(self) -> str:
        """The page with its replacements. Raises DocumentError for one that fits nothing: it would hide what is run."""
        made = self.path.read_text(encoding="utf-8")
        for old, new in self.replace.items():
            if old not in made:
                raise DocumentError(f"{self.path.name} does not say {old!r}, which the test replaces")
            made = made.replace(old, new)
        return made


def blocks_of(text: str, plain: str = "") -> list[Block]:
    """The fenced blocks of a page, in their order; ``plain``: the language of those that name none."""
    found = []
    for token in MarkdownIt().parse(text):
        if token.type == "fence":
            language, *options = token.info.split() or [plain]
            given = dict(option.split("=", 1) for option in options if "=" in option)
            found.append(Block(language, token.content, token.map[0] + 2, float(given.get("tolerance", _TOLERANCE))))
    return found


def commands_of(block: Block) -> list[Command]:
    """The commands of a console or sh block; a line that ends in a backslash goes on in the next."""
    made: list[tuple[str, list[str], int]] = []
    lines = iter(enumerate(block.text.splitlines(), block.line))
    for number, line in lines:
        if block.language == "console" and not line.startswith("$ "):
            if not made:
                raise DocumentError(f"line {number}: a console block begins with a command behind $")
            made[-1][1].append(line)
            continue
        command = line.removeprefix("$ ")
        while command.endswith("\\"):
            command = command[:-1] + next(lines)[1].strip()
        command = _REMARK.sub("", command)
        if command:
            made.append((command, [], number))
    said = block.language == "console"
    return [Command(text, "\n".join(out) if said else None, at, block.tolerance) for text, out, at in made]


def compare(shown: str, printed: str, tolerance: float = _TOLERANCE) -> str | None:
    """What of ``shown`` is not in ``printed``, as a sentence; None if all is."""
    left = printed.splitlines()
    for piece, anchored in _pieces(shown):
        starts = range(1) if anchored else range(len(left) - len(piece) + 1)
        for start in starts:
            if len(left) >= start + len(piece) and all(
                _same(one, two, tolerance) for one, two in zip(piece, left[start:])
            ):
                left = left[start + len(piece) :]
                break
        else:
            return "the page shows\n    " + "\n    ".join(piece)
    if left and not shown.rstrip().endswith("\n...") and shown.strip() != "...":
        return "the page does not show\n    " + "\n    ".join(left)
    return None


def _pieces(shown: str) -> Iterator[tuple[list[str], bool]]:
    """Lines that follow each other, and whether they follow what was before at once."""
    piece: list[str] = []
    anchored = True
    for line in shown.splitlines():
        if line.strip() == "...":
            if piece:
                yield piece, anchored
            piece, anchored = [], False
        else:
            piece.append(line)
    if piece:
        yield piece, anchored


def _same(shown: str, printed: str, tolerance: float) -> bool:
    one, two = " ".join(shown.split()), " ".join(printed.split())
    # Each text between numbers as it stands, dots for any text; each number by its value.
    numbers = _NUMBER.findall(one)
    parts = (".*?".join(map(re.escape, part.split("..."))) for part in _NUMBER.split(one))
    found = re.fullmatch(f"({_NUMBER.pattern})".join(parts), two)
    return found is not None and all(_near(a, b, tolerance) for a, b in zip(numbers, found.groups()))


def _near(shown: str, printed: str, tolerance: float) -> bool:
    one, two = (float(number.replace("−", "-")) for number in (shown, printed))
    mantissa, _, power = shown.partition("e")
    unit = 10.0 ** (int(power or 0) - len(mantissa.partition(".")[2]))
    digits = unit / 2 if "." in mantissa else 0.0
    return abs(one - two) <= max(tolerance * abs(one), digits) * (1.0 + 1e-9)


def run_page(page: Page, on_output: Callable[[Command | Block, str], None] | None = None) -> int:
    """Run every block of a page in its folder; returns how many commands and pieces of Python ran.

    ``on_output`` is handed what each of them printed. Raises DocumentError, with page and line, where the page does not do what it says.
    """
    ran = 0
    names: dict[str, Any] = {"__name__": "__page__", **page.names}
    printed: str | None = None
    blocks = blocks_of(page.text(), page.plain)
    before = set(sys.modules)
    sys.path.insert(0, str(page.folder))
    try:
        with contextlib.chdir(page.folder):
            for block in blocks:
                where = f"{page.path.name}, line {block.line}"
                if page.supplies:
                    shutil.copytree(page.supplies, page.folder, dirs_exist_ok=True)
                if block.file:
                    (page.folder / block.file).write_text(block.text, encoding="utf-8")
                elif block.language == "python":
                    printed = _execute(block.text, where, names)
                    ran += 1
                    if on_output:
                        on_output(block, printed)
                elif block.language == "text":
                    if printed is None:
                        raise DocumentError(f"{where}: there is no Python above that would print this")
                    _check(where, "the Python above", block.text.rstrip("\n"), printed, block.tolerance)
                    printed = None
                elif block.language in _COMMANDS:
                    for command in commands_of(block):
                        if command.text.startswith(page.only):
                            _run_command(command, page, on_output)
                            ran += 1
    finally:
        sys.path.remove(str(page.folder))
        # A page's own modules: the next page may have others of the same names.
        for name in set(sys.modules) - before:
            home = getattr(sys.modules[name], "__file__", None)
            if home and Path(home).is_relative_to(page.folder):
                del sys.modules[name]
    return ran


def _execute(text: str, where: str, names: dict[str, Any]) -> str:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(text, where, "exec"), names)
    return said.getvalue()


def _run_command(command: Command, page: Page, on_output: Callable[[Command, str], None] | None) -> None:
    where = f"{page.path.name}, line {command.line}"
    code, printed = _quasicrit(command.text) if _is_ours(command.text) else _shell(command.text, page.folder)
    if on_output:
        on_output(command, printed)
    last = (command.shown or "").strip().splitlines()[-1:]
    wanted = 2 if last and last[0].startswith("quasicrit: ") else 0
    if code != wanted and not (code == 2 and command.text in page.refused):
        raise DocumentError(f"{where}: {command.text}\nended with {code}, not {wanted}\n{printed[-4000:]}")
    if command.shown is not None:
        _check(where, command.text, command.shown.rstrip("\n"), printed, command.tolerance)


def _check(where: str, what: str, shown: str, printed: str, tolerance: float) -> None:
    fault = compare(shown, printed, tolerance)
    if fault:
        raise DocumentError(f"{where}: {what}\n{fault}\nand it printed\n{printed[-8000:]}")


def _is_ours(command: str) -> bool:
    """Whether it is one ``quasicrit`` and needs no shell: those run in this process, which has loaded what they need."""
    return command.startswith("quasicrit ") and not _SHELL.search(command)


def _quasicrit(command: str) -> tuple[int, str]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = main(shlex.split(command, comments=True)[1:])
    return code, said.getvalue()


def _shell(command: str, folder: Path) -> tuple[int, str]:
    """Both streams in one, as on a screen; the programs are those beside this Python."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONDONTWRITEBYTECODE": ""},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        timeout=_TIMEOUT,
    )
    return done.returncode, done.stdout
