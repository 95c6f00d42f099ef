"""LDIF exports: each file in `ldif` is read as its `.expected.json`."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.formats.header_aliases import load_headers
from tasks.directory.model import Parsed
from tasks.directory.sources import ldif
from tasks.errors import ExportRefused
from tasks.settings import DEFAULTS, Settings
from tests.directory.parsed_pairs import as_json, assert_matches_pair, assert_valid, expected, exports
from tests.examples import examples

FOLDER = Path(__file__).with_name("ldif")
EXPORTS = exports(FOLDER)
READABLE = [path for path in EXPORTS if "refused" not in expected(path)]


HEADERS = load_headers(Settings(home=DEFAULTS))


def read(text: str, name: str) -> list[Parsed]:
    return ldif.read(text, name, HEADERS)


def _text(path: Path) -> str:
    return path.read_bytes().decode()  # with the line ends of the file


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_export_read_as_its_pair(path: Path) -> None:
    assert_matches_pair(path, lambda: read(_text(path), path.name))


@pytest.mark.parametrize("path", READABLE, ids=lambda path: path.name)
def test_export_with_other_line_ends_folding_or_bom_equal(path: Path) -> None:
    text = _text(path).replace("\r\n", "\n")
    (part,) = read(text, path.name)
    (other,) = read("\ufeff" + text.replace("\n", "\r\n"), path.name)
    assert as_json(other) == as_json(part)
    folded = "\n".join(_folded(line) for line in text.split("\n"))
    without_rows = {
        field: rows for field, rows in as_json(part).items() if field in ("addresses", "members", "device_users")
    }
    (other,) = read(folded, path.name)
    assert {field: rows for field, rows in as_json(other).items() if field in without_rows} == without_rows


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


@examples(20)
@given(st.lists(st.sampled_from(LINES) | st.text(max_size=12), max_size=25))
def test_any_lines_read_or_refused(lines: list[str]) -> None:
    _read_or_refused("\n".join(lines))


@examples(20)
@given(st.data())
def test_damaged_export_read_or_refused(data: st.DataObject) -> None:
    text = _text(data.draw(st.sampled_from(READABLE)))
    at = data.draw(st.integers(0, len(text)))
    _read_or_refused(text[:at] + data.draw(st.text(max_size=5)) + text[at + data.draw(st.integers(0, 20)) :])


def _read_or_refused(text: str) -> None:
    try:
        assert_valid(read(text, "export.ldif"))
    except ExportRefused as refusal:
        assert str(refusal).startswith("export.ldif")
