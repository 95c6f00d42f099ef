"""The story's tables after each step are those of the files beside this one; `tests/stories/story.py` tells it."""

from pathlib import Path

import pytest

from tests.stories.story import EXPECTED, STEPS, told


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return dict(told(tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize("name", [f"{number:02}" for number in range(1, len(STEPS) + 1)])
def test_after_each_step_the_tables_are_as_expected(name: str, tables: dict[str, str]) -> None:
    assert tables[name] == (EXPECTED / f"{name}.txt").read_text(encoding="utf-8")


def test_every_expected_table_belongs_to_a_step() -> None:
    assert sorted(path.name for path in Path(EXPECTED).iterdir()) == [f"{n:02}.txt" for n in range(1, len(STEPS) + 1)]
