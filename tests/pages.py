"""The pages of the repository: their quotations and generated blocks.

`python -m tests.pages` writes the generated blocks again, after a change of a setting or of a query.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import get_args

from tasks.settings import CHECKOUT, DEFAULTS, Settings

QUESTIONS = CHECKOUT / "tasks" / "sql" / "questions"
PAGES = sorted(
    [
        CHECKOUT / "README.md",
        *(page for room in ("flows", "tasks", "tests", "data") for page in (CHECKOUT / room).glob("**/README.md")),
    ]
)
BLOCK = re.compile(r"(?P<begin><!-- generated: (?P<name>\w+) ?(?P<words>[\w ]*?) ?-->\n).*?(?P<end><!-- end -->)", re.S)
COLUMNS = re.compile(r"(?<!\\)\|")


def name_of(page: Path) -> str:
    return page.relative_to(CHECKOUT).as_posix()


def fenced(page: Path, language: str) -> list[str]:
    """The fenced blocks of a language, without the fences."""
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^ *```{language}\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL)


def first_cells(page: Path, title: str) -> list[str]:
    """The first column of the table whose first column has this title."""
    table = page.read_text(encoding="utf-8").partition(f"\n| {title} |")[2].partition("\n\n")[0].splitlines()[2:]
    return [COLUMNS.split(line.strip("|"))[0].strip(" `") for line in table]


def settings_table(_words: str) -> str:
    """Every setting with its values, default and meaning."""
    lines = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        limits = {type(each).__name__: each for each in field.metadata}
        choices = [f"`{choice}`" for choice in get_args(field.annotation) if isinstance(choice, str)]
        if field.annotation is bool:
            values, default = "`true` `false`", f"`{str(field.default).lower()}`"
        elif "Ge" in limits:
            values = f"{limits['Ge'].ge} to {limits['Le'].le}" if "Le" in limits else f"{limits['Ge'].ge} or more"
            default = f"`{field.default}`"
        else:
            values = " ".join(choices) or ("folder" if field.annotation is Path else "text")
            default = f"`{field.default}`" if field.default else "none"
        if field.default == DEFAULTS:
            default = "the checkout's `data/`"
        meaning = (field.description or "").replace("|", r"\|")
        lines.append(f"| `ATTACHMENT_ALERTS_{name.upper()}` | {values} | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def questions(words: str) -> str:
    """The named files of `tasks/sql/questions`, or all of them: the question, then the query."""
    files = [QUESTIONS / f"{word}.sql" for word in words.split()] or sorted(QUESTIONS.glob("*.sql"))
    return "\n".join(_quoted(file) for file in files)


def _quoted(file: Path) -> str:
    question, _, query = file.read_text(encoding="utf-8").partition("\n")
    return f"{question.removeprefix('-- ')}\n\n```sql\n{query}```\n"


GENERATORS: dict[str, Callable[[str], str]] = {"settings": settings_table, "questions": questions}


def generated(text: str) -> str:
    """The page's text with current generated blocks."""
    return BLOCK.sub(
        lambda found: f"{found['begin']}\n{GENERATORS[found['name']](found['words'])}\n{found['end']}", text
    )


def write_generated_blocks() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (fresh := generated(text)) != text:
            page.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    write_generated_blocks()
