"""JSON exports: each file in `json` is read as its `.expected.json`."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.formats.header_aliases import load_headers
from tasks.directory.model import Parsed
from tasks.directory.sources import graph_json
from tasks.directory.sources.detect import read_export
from tasks.errors import ExportRefused
from tasks.settings import DEFAULTS, Settings
from tests.directory.parsed_pairs import as_json, assert_matches_pair, assert_valid, expected, exports
from tests.examples import examples

FOLDER = Path(__file__).with_name("json")
EXPORTS = exports(FOLDER)
HEADERS = load_headers(Settings(home=DEFAULTS))
READABLE = [path for path in EXPORTS if "refused" not in expected(path)]


@pytest.mark.parametrize("path", EXPORTS, ids=lambda path: path.name)
def test_export_read_as_its_pair(path: Path) -> None:
    assert_matches_pair(path, lambda: read_export(path.name, path.read_bytes(), HEADERS))


def test_pull_and_file_of_same_records_equal() -> None:
    records = [
        {"id": "1", "userPrincipalName": "a@contoso.example", "proxyAddresses": ["SMTP:a@contoso.example"]},
        {"id": "2", "userPrincipalName": 5},
    ]
    (filed,) = graph_json.read(json.dumps({"@odata.context": "x#users", "value": records}), "x", HEADERS)
    assert as_json(filed) == as_json(graph_json.users(records))


@pytest.mark.parametrize("pull", [graph_json.users, graph_json.devices, graph_json.managed_devices, graph_json.groups])
def test_empty_listing_without_warnings(pull: Any) -> None:
    part: Parsed = pull([])
    assert_valid([part])
    assert part.objects.is_empty() and part.devices.is_empty() and not part.warnings


def test_same_records_in_any_envelope_equal() -> None:
    users = [{"id": str(n), "userPrincipalName": f"{n}@contoso.example", "proxyAddresses": []} for n in range(3)]
    pages = [{"value": users[:2], "@odata.nextLink": "https://graph.microsoft.com/x"}, {"value": users[2:]}]
    envelopes = {
        "one page": json.dumps({"@odata.context": "https://graph.microsoft.com/v1.0/$metadata#users", "value": users}),
        "pages": json.dumps(pages),
        "bare": json.dumps(users, indent=1),
        "lines": "\r\n".join(map(json.dumps, users)) + "\n",
        "pages as lines": "\n".join(map(json.dumps, pages)),
        "one after the other": "\n".join(json.dumps(record, indent=2) for record in users),
        "with BOM": "\ufeff" + json.dumps(users),
    }
    read = {name: [as_json(part) for part in graph_json.read(text, name, HEADERS)] for name, text in envelopes.items()}
    assert len(read["bare"][0]["objects"]) == 3
    for name, parts in read.items():
        assert parts == read["bare"], name


def test_truncated_file_refused_with_line_and_column() -> None:
    text = json.dumps([{"id": "1", "userPrincipalName": "a@contoso.example"}], indent=1)
    with pytest.raises(ExportRefused, match=r"^a\\x1b\.json, line 3, column \d+"):
        graph_json.read(text[: text.index("userPrincipalName") - 5], "a\x1b.json", HEADERS)


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=4,
)
NAMES = (
    "id", "userPrincipalName", "mail", "proxyAddresses", "otherMails", "userType", "deviceId", "registeredUsers",
    "azureADDeviceId", "usersLoggedOn", "members", "groupTypes", "objectSid", "objectGUID", "objectClass", "member",
    "@odata.type", "@removed", "value", "error", "activedirectory", "user", "groups",
)  # fmt: skip
texts = st.sampled_from(
    ["SMTP:a@contoso.example", "#microsoft.graph.device", "00000000-0000-0000-0000-000000000000", "AAAA", "group", "@"]
)
records = st.recursive(
    st.dictionaries(st.sampled_from(NAMES), values | texts | st.lists(texts, max_size=2), max_size=5),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), st.lists(inner, max_size=2) | inner, max_size=3),
    max_leaves=4,
)


@examples(25)
@given(st.lists(records | values, max_size=4))
def test_any_json_read_or_refused(document: list[Any]) -> None:
    _read_or_refused(json.dumps(document))


@examples(25)
@given(st.data())
def test_damaged_export_read_or_refused(data: st.DataObject) -> None:
    text = data.draw(st.sampled_from(READABLE)).read_text(encoding="utf-8")
    at = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 20))
    _read_or_refused(
        text[:at] + data.draw(st.text(max_size=5) | st.sampled_from(["\\ud800", "[" * 2000])) + text[at + length :]
    )


def _read_or_refused(text: str) -> None:
    try:
        assert_valid(graph_json.read(text, "export.json", HEADERS))
    except ExportRefused as refusal:
        assert str(refusal).startswith("export.json")
