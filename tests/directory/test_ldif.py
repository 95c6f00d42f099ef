"""LDIF exports: each file in `ldif` becomes what its `.expected.json` says, or is refused with its sentence."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.directory.sources import ldif
from tasks.errors import ExportRefused
from tests.directory.parsed_pairs import assert_valid, expected, exports, told

FOLDER = Path(__file__).with_name("ldif")
EXPORTS = exports(FOLDER)
READABLE = [path for path in EXPORTS if "refused" not in expected(path)]


def _text(path: Path) -> str:
    return path.read_bytes().decode()  # with the line ends of the file


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_an_export_becomes_what_its_pair_says(path: Path) -> None:
    try:
        parts = ldif.read(_text(path), path.name)
    except ExportRefused as refusal:
        assert {"refused": str(refusal)} == expected(path)
        return
    assert_valid(parts)
    assert [told(each) for each in parts] == expected(path)


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_line_ends_folding_and_marks_change_nothing(path: Path) -> None:
    text = _text(path).replace("\r\n", "\n")
    (part,) = ldif.read(text, path.name)
    (other,) = ldif.read("\ufeff" + text.replace("\n", "\r\n"), path.name)
    assert told(other) == told(part)
    folded = "\n".join(_folded(line) for line in text.split("\n"))
    without_rows = {
        field: rows for field, rows in told(part).items() if field in ("addresses", "members", "device_users")
    }
    (other,) = ldif.read(folded, path.name)
    assert {field: rows for field, rows in told(other).items() if field in without_rows} == without_rows


def _folded(line: str) -> str:
    """Every line cut after its seventh character, and again and again."""
    return line if line.startswith(" ") else "\n ".join(line[at : at + 7] for at in range(0, len(line), 7))


LINES = (
    "dn: cn=a,dc=contoso,dc=example", "dn:: Y249YQ==", "dn:", "changetype: add", "changetype: modify",
    "objectClass: user", "objectClass: group", "objectClass: computer", "sAMAccountName: a",
    "proxyAddresses: SMTP:a@contoso.example", "member;range=0-1: cn=a,dc=contoso,dc=example",
    "mail:< file:///etc/passwd", "objectGUID:: AAAA", "objectSid:: ////", "userAccountControl: x",
    "lastLogonTimestamp: 99999999999999999999", " folded", "# comment", "", "", "-", "result: 4",
)  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=25))
def test_any_lines_are_read_or_refused(lines: list[str]) -> None:
    _read_or_refused("\n".join(lines))


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    text = _text(data.draw(st.sampled_from(READABLE)))
    at = data.draw(st.integers(0, len(text)))
    _read_or_refused(text[:at] + data.draw(st.text(max_size=5)) + text[at + data.draw(st.integers(0, 20)) :])


def _read_or_refused(text: str) -> None:
    try:
        assert_valid(ldif.read(text, "export.ldif"))
    except ExportRefused as refusal:
        assert str(refusal).startswith("export.ldif")
