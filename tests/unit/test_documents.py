"""Pages that are run: what counts as a block, and that a page which says something else is found out."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documents import Command, DocumentError, Page, blocks_of, commands_of, compare, run_page

PRINTED = (
    "exponent  1.6066\nci_low  1.5878\nverdict  power_law\nThe power law is favoured over: exponential.\nn  4000\n"
)


@pytest.mark.parametrize(
    "shown",
    [
        PRINTED,
        "exponent   1.6066\n...",  # white space does not count
        "exponent  1.61\n...",  # half a unit of the last digit
        "exponent  1.60\n...",  # 2 %
        "...\nverdict power_law\n...",
        "exponent 1.6066\nci_low 1.5878\n...\nn 4000",
        "...\nThe power law is ...\n...",
        "...\nThe ... is favoured over: exponential.\nn 4000",
        "...",
    ],
)
def test_what_is_printed_may_be_shown(shown: str) -> None:
    assert compare(shown, PRINTED) is None


@pytest.mark.parametrize(
    "shown",
    [
        PRINTED.replace("1.6066", "1.66"),  # another number
        PRINTED.replace("1.6066", "-1.6066"),
        PRINTED.replace("1.6066", "1.6066e1"),
        PRINTED.replace("4000", "four thousand"),
        PRINTED.replace("power_law", "cutoff"),  # another verdict
        PRINTED.replace("ci_low", "ci_high"),  # another key
        "exponent 1.6066\nverdict power_law\n...",  # a line that is missing, and no dots for it
        "exponent 1.6066\n...\nexponent 1.6066\n...",  # one line for two
        "...\nverdict power_law\n...\nci_low 1.5878\n...",  # another order
        "ci_low 1.5878\n...",  # the first line is left out
        "...\nverdict power_law",  # the last ones are
        "...\nverdict  power_law\nThe power law is\n...",  # half a line
        PRINTED + "seed 0\n",  # more than there is
        "...\nxmin 1\n...",
    ],
)
def test_what_is_not_printed_is_noticed(shown: str) -> None:
    assert compare(shown, PRINTED) is not None


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("p = 1.1e-09", "p = 1.11e-09", True),
        ("p = 1.1e-09", "p = 1.2e-09", False),
        ("p = 1.1e-09", "p = 1.1e-08", False),
        ("[-0.32, −0.17]", "[-0.324, −0.168]", True),
        ("[-0.32, −0.17]", "[-0.32, 0.17]", False),
        ("N = 16", "N = 17", False),
        ("n 4000", "n 4080", True),
        ("n 4000", "n 4100", False),
        ("tau_s2 1.0", "tau_s3 1.0", False),  # digits of a name are text
        ("0.00", "0.004", True),
        ("0.00", "0.006", False),
        ("none", "none (infinite)", False),
    ],
)
def test_numbers_agree_by_value_and_text_by_letter(shown: str, printed: str, same: bool) -> None:
    assert (compare(shown, printed) is None) is same


def test_a_tolerance_is_what_it_says() -> None:
    assert compare("accuracy 0.800", "accuracy 0.719", 0.1) is not None
    assert compare("accuracy 0.800", "accuracy 0.721", 0.1) is None


PAGE = """Text, and `quasicrit fit` in it.

```python
# make.py
print("value", 2.5)
```

```sh
# a remark
python make.py > made.txt
```

```console tolerance=0.1
$ cat \\
    made.txt
value 2.6
$ quasicrit theory --sigma-b 0 --sigma-w 1
...
phase                 critical
...
$ quasicrit theory --sigma-b -1 --sigma-w 1
quasicrit: sigma_b ...
```

```python
import make
total = 3
```

```python
print(total, known)
```

```text
3 4
```

```
not run
```
"""


def page(tmp_path: Path, text: str, **options: object) -> Page:
    (tmp_path / "page.md").write_text(text, encoding="utf-8")
    folder = tmp_path / "folder"
    folder.mkdir()
    return Page(tmp_path / "page.md", folder, names={"known": 4}, **options)  # type: ignore[arg-type]


def test_a_page_is_run_in_its_order(tmp_path: Path) -> None:
    printed: list[str] = []
    ran = run_page(page(tmp_path, PAGE), lambda what, said: printed.append(said))
    assert ran == 6
    assert [printed[1], printed[4], printed[5]] == ["value 2.5\n", "value 2.5\n", "3 4\n"]
    assert (tmp_path / "folder/made.txt").read_text() == "value 2.5\n"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("value 2.6", "value 2.8", "line 14: cat made.txt"),
        ("critical\n...", "chaotic\n...", "line 17: quasicrit theory"),
        ("quasicrit: sigma_b ...", "quasicrit: sigma_w ...", "line 21: quasicrit theory --sigma-b -1"),
        ("3 4", "3 5", "line 35"),
        ("python make.py", "python mist.py", "ended with 2, not 0"),
        ("--sigma-b 0", "--sigma-b -1", "ended with 2, not 0"),
        ("--sigma-b -1", "--sigma-b 0", "ended with 0, not 2"),
        ("total = 3", "del total", "NameError"),
        ("```python\nprint(total, known)\n```\n\n", "", "line 31: the Python above\nthe page shows"),
    ],
)
def test_a_page_that_is_wrong_is_refused_with_its_line(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in PAGE
    with pytest.raises((DocumentError, NameError)) as refused:
        run_page(page(tmp_path, PAGE.replace(old, new)))
    assert said in f"{refused.type.__name__} {refused.value}"


def test_blocks_without_a_language_may_be_commands(tmp_path: Path) -> None:
    text = "```\npip install nothing-at-all\nquasicrit theory --sigma-b -1 --sigma-w 1   # why not\n```\n"
    once = page(tmp_path, text)
    assert run_page(once) == 0
    once.plain, once.only = "sh", "quasicrit "
    with pytest.raises(DocumentError, match="ended with 2, not 0"):
        run_page(once)
    once.refused = {"quasicrit theory --sigma-b -1 --sigma-w 1"}
    assert run_page(once) == 1


def test_every_block_finds_the_supplies_as_they_were(tmp_path: Path) -> None:
    block = "```console\n$ cat given.txt && echo more >> given.txt\ngiven\n```\n"
    (tmp_path / "supplies").mkdir()
    (tmp_path / "supplies/given.txt").write_text("given\n")
    assert run_page(page(tmp_path, f"{block}\n{block}", supplies=tmp_path / "supplies")) == 2


def test_replacements_must_fit(tmp_path: Path) -> None:
    changed = page(tmp_path, PAGE, replace={"2.5": "9.5", "value 2.6": "value 9.5"})
    assert run_page(changed) == 6
    changed.replace = {"3_000_000": "1"}
    with pytest.raises(DocumentError, match="does not say '3_000_000'"):
        run_page(changed)


def test_blocks_and_commands_know_their_lines() -> None:
    blocks = blocks_of(PAGE)
    assert [(block.language, block.file, block.tolerance) for block in blocks[:3]] == [
        ("python", "make.py", 0.02),
        ("sh", None, 0.02),
        ("console", None, 0.1),
    ]
    assert commands_of(blocks[1]) == [Command("python make.py > made.txt", None, 10, 0.02)]
    assert commands_of(blocks[2])[0] == Command("cat made.txt", "value 2.6", 14, 0.1)
    with pytest.raises(DocumentError, match="begins with a command"):
        commands_of(blocks_of("```console\nvalue\n```\n")[0])
