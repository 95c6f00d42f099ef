"""Both maps as they are delivered, and as a site may change them."""

import csv
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tasks.errors import SettingsError
from tasks.priority import Maps, load_maps, prioritise, respond
from tasks.settings import DEFAULTS, Settings

MAPS = load_maps(Settings(home=DEFAULTS))
HEAD = "verdict,priority,sub_classification,dangerous,rule_id\n"
OTHERS = "*,medium,Unrecognised verdict,false,other\n"

# verdict: priority, rank, sub-classification, dangerous, rule
VERDICTS = {
    "malicious": ("high", 1, "Malicious attachment", True, "verdict-malicious"),
    "unsafe": ("medium", 2, "Unsafe attachment", True, "verdict-unsafe"),
    "unknown": ("medium", 2, "Unknown attachment", False, "verdict-unknown"),
    "timeout": ("medium", 3, "No verdict", False, "no-verdict-timeout"),
    "error": ("medium", 3, "No verdict", False, "no-verdict-error"),
    "missing": ("medium", 3, "No verdict", False, "no-verdict-missing"),
    "safe": ("low", 9, "Safe attachment", False, "verdict-safe"),
    "clean": ("low", 9, "Safe attachment", False, "verdict-clean"),
}
UNRECOGNISED = ("medium", 2, "Unrecognised verdict", False, "verdict-unrecognised")
ACTIONS = {
    "no_action": "none notify",
    "held": "hold held|admin hold|user hold",
    "blocked": "block blocked reject rejected drop",
    "removed": "remove removed strip stripped delete deleted",
    "sanitised": "sanitise sanitize sanitised sanitized convert converted|safe file|safe file on demand",
    "delayed": "delay delayed pending",
    "released": "release released|user release|admin release",
}


def judged(verdict: str, maps: Maps = MAPS) -> tuple[Any, ...]:
    rows, _ = prioritise(pl.DataFrame({"verdict": [verdict]}), maps)
    names = ("priority", "priority_rank", "sub_classification", "dangerous", "priority_rule")
    return rows.select(names).row(0)


def meant(response: str | None, maps: Maps = MAPS) -> str:
    rows, _ = respond(pl.DataFrame({"response": [response]}, {"response": pl.String}), maps)
    return str(rows["disposition"].item())


def site(home: Path, **files: str) -> Settings:
    for name, text in files.items():
        (home / f"{name}.csv").write_text(text, encoding="utf-8")
    return Settings(home=home)


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict(verdict: str) -> None:
    assert judged(verdict) == VERDICTS[verdict]


def actions(text: str) -> list[str]:
    first, *whole = text.split("|")
    return [*(first.split() if "safe file" not in first else [first]), *whole]


@pytest.mark.parametrize(
    ("action", "disposition"), [(each, name) for name, text in ACTIONS.items() for each in actions(text)]
)
def test_every_action(action: str, disposition: str) -> None:
    assert meant(action) == disposition


def test_every_row_of_both_files_is_tested() -> None:
    def first_column(name: str) -> set[str]:
        with (DEFAULTS / name).open(newline="", encoding="utf-8") as file:
            return {row[0] for row in list(csv.reader(file))[1:]}

    assert first_column("priorities.csv") == {*VERDICTS, "*"}
    assert first_column("responses.csv") == {each for text in ACTIONS.values() for each in actions(text)}


def test_unknown_verdict_is_medium_and_reported() -> None:
    rows, unseen = prioritise(pl.DataFrame({"verdict": ["zeta", "safe", "alpha", "zeta"]}), MAPS)
    assert unseen == ["alpha", "zeta"]
    assert rows["verdict"].to_list() == ["zeta", "safe", "alpha", "zeta"]
    assert rows["priority"].to_list() == ["medium", "low", "medium", "medium"]
    assert judged("alpha") == UNRECOGNISED


def test_unknown_action_has_unknown_disposition_and_is_reported() -> None:
    rows, unseen = respond(pl.DataFrame({"response": ["Teleport, none", "none", "BEAM up"]}), MAPS)
    assert unseen == ["beam up", "teleport"]
    assert rows["disposition"].to_list() == ["unknown", "no_action", "unknown"]


@pytest.mark.parametrize("response", ["User Release", " user release ", "USER RELEASE,", ",user release"])
def test_case_and_blanks_of_actions_do_not_count(response: str) -> None:
    assert meant(response) == "released"


@pytest.mark.parametrize(
    ("response", "disposition"),
    [
        ("none", "no_action"),
        ("none, none", "no_action"),
        ("user release, none", "released"),
        ("none, hold", "held"),
        ("hold, block", "blocked"),
        ("hold, release", "released"),
        ("remove, sanitise", "sanitised"),
        ("delay, remove", "delayed"),
        ("hold, teleport", "unknown"),
        ("none, teleport", "unknown"),
        (None, "unknown"),
        (" , ", "unknown"),
    ],
)
def test_of_several_actions_the_worst_counts_and_none_never_hides_another(
    response: str | None, disposition: str
) -> None:
    assert meant(response) == disposition


def test_without_a_verdict_is_low_where_the_connector_says_so() -> None:
    low = load_maps(Settings(home=DEFAULTS), "low")
    for verdict in ("timeout", "error", "missing"):
        assert judged(verdict, low)[:2] == ("low", 9)
    assert judged("unknown", low) == VERDICTS["unknown"]


def test_map_of_the_site_is_used(tmp_path: Path) -> None:
    text = HEAD + " Safe , medium,Watched,false,own-1\n" + "timeout,high,No verdict,false,own-2\n" + OTHERS
    settings = site(tmp_path, priorities=text, responses="action,disposition\nTeleport,blocked\n")
    maps = load_maps(settings)
    assert judged("safe", maps) == ("medium", 2, "Watched", False, "own-1")
    assert judged("timeout", maps) == ("high", 1, "No verdict", False, "own-2")
    assert judged("timeout", load_maps(settings, "low"))[:2] == ("low", 9)
    assert meant("TELEPORT", maps) == "blocked"
    assert meant("none", maps) == "unknown"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (HEAD + "safe,lowest,Safe,false,x\n" + OTHERS, "priority must be one of high, medium, low"),
        (HEAD + "safe,low,Safe,no,x\n" + OTHERS, "dangerous must be true or false"),
        (HEAD + "safe,low,Safe,false,x\n", "missing row for the verdict *"),
        (HEAD + "safe,low,Safe,true,x\n" + OTHERS, "a dangerous verdict cannot have priority low"),
        (HEAD + "safe,low,Safe,false,x\n SAFE,low,Safe,false,y\n" + OTHERS, "duplicate verdict"),
        (HEAD + "safe,,Safe,false,x\n" + OTHERS, "empty cell"),
        (HEAD + "safe,low,Safe,false,  \n" + OTHERS, "empty cell"),
        (HEAD + '"",low,Safe,false,x\n' + OTHERS, "empty cell"),
        ("verdict,priority\nsafe,low\n", "missing column sub_classification, dangerous, rule_id"),
        ("", "cannot be read as CSV"),
        (HEAD + "safe,low,Safe,false,x,and,more\n", "cannot be read as CSV"),
    ],
)
def test_invalid_map_is_named_with_its_fault(tmp_path: Path, text: str, fault: str) -> None:
    with pytest.raises(SettingsError) as raised:
        load_maps(site(tmp_path, priorities=text))
    assert fault in str(raised.value)
    assert str(tmp_path / "priorities.csv") in str(raised.value)
    assert "Correct" in str(raised.value)


def test_invalid_map_of_responses_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="disposition must be one of released, no_action, unknown"):
        load_maps(site(tmp_path, responses="action,disposition\nhold,kept\n"))
    (tmp_path / "responses.csv").write_bytes(b"action,disposition\n\xff\xfe,held\n")
    with pytest.raises(SettingsError, match="cannot be read as CSV"):
        load_maps(Settings(home=tmp_path))


def test_without_a_verdict_cannot_be_both_dangerous_and_low(tmp_path: Path) -> None:
    settings = site(tmp_path, priorities=HEAD + "timeout,medium,No verdict,true,x\n" + OTHERS)
    assert judged("timeout", load_maps(settings)) == ("medium", 3, "No verdict", True, "x")
    with pytest.raises(SettingsError, match="a dangerous verdict cannot have priority low"):
        load_maps(settings, "low")
