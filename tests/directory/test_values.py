"""Single values: one form for what exports write in many, null for what means nothing."""

from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from uuid import UUID

import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.directory.formats import guid_sid, object_kinds, values
from tasks.directory.model import ADDRESS_SCHEMA, KINDS
from tests.examples import examples

Rule = Callable[[pl.Expr], pl.Expr]

GUID, GUID_BASE64 = "d08f810b-a35c-49a8-9f4e-0123456789ab", "C4GP0FyjqEmfTgEjRWeJqw=="


def of(rule: Rule, *texts: str | None) -> list[object]:
    return pl.DataFrame({"text": texts}, schema={"text": pl.String}).select(rule(pl.col("text"))).to_series().to_list()


def keys(*texts: str | None) -> list[object]:
    return of(values.address_key, *texts)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (" Bob@Contoso.Example ", "bob@contoso.example"),
        ("SMTP:Bob@contoso.example", "bob@contoso.example"),
        ("smtp: bob@contoso.example", "bob@contoso.example"),
        ("<mailto:bob@contoso.example>", "bob@contoso.example"),
        ("\ufeffbob@contoso.example\u200b", "bob@contoso.example"),
        ("bob@contoso.example.", "bob@contoso.example"),
        ("bob+tag@contoso.example", "bob+tag@contoso.example"),
        ("bob@corp", "bob@corp"),
        ("bob@[192.0.2.1]", "bob@[192.0.2.1]"),
        ('"bob b"@contoso.example', '"bob b"@contoso.example'),
        ("a@BÜCHER.example", "a@xn--bcher-kva.example"),
        ("a@bu\u0308cher.example", "a@xn--bcher-kva.example"),
        ("a@xn--BCHER-kva.example", "a@xn--bcher-kva.example"),
        ("a@straße.example", "a@xn--strae-oqa.example"),
        ("E\u0301@contoso.example", "é@contoso.example"),
        ("a@\U0001f600.example", "a@\U0001f600.example"),
        *(
            (invalid, None)
            for invalid in (None, "", "-", "bob", "@contoso.example", "bob@", "b ob@c.example", "a@b@c", "a@b..c")
        ),
        *((invalid, None) for invalid in ("X500:/o=First Organization/cn=bob", "sip:a b@c.example", "a@b.c;d@e.f")),
    ],
)
def test_address_key(text: str | None, key: str | None) -> None:
    assert keys(text) == [key]


def test_address_keys_with_eszett_and_long_s_differ() -> None:
    texts = ["straße@x.example", "strasse@x.example", "ſam@x.example", "sam@x.example"]  # noqa: RUF001
    assert keys(*texts) == texts
    assert keys("STRAẞE@x.example") == ["straße@x.example"]


addresses = st.builds(
    "{}{}@{}{}".format,
    st.sampled_from(["", "smtp:", " <", "\u200b"]),
    st.text(),
    st.text(),
    st.sampled_from([">", ".", ""]),
)


@examples(25)
@given(st.lists(st.text() | addresses, min_size=1, max_size=20))
@example(["a@bücher.example。", "smtp:smtp:a@b", "Σ@b.c", "İ@b.c", "a@İ.example", "a@b。", "ΑΣ@ΑΣ.example"])
def test_key_of_key_equal(texts: list[str]) -> None:
    once = keys(*texts)
    assert keys(*once) == once  # type: ignore[arg-type]
    assert keys(texts[-1]) == once[-1:], "independent of the other rows"


@pytest.mark.parametrize(
    ("upn", "address"),
    [
        ("bob_fabrikam.example#EXT#@contoso.onmicrosoft.com", "bob@fabrikam.example"),
        ("Bob_B_fabrikam.example#ext#@contoso.onmicrosoft.com", "bob_b@fabrikam.example"),
        ("x_fabrikam.example#EXT#_contoso.onmicrosoUEEKF#EXT#@other.onmicrosoft.com", None),
        ("bob#EXT#@contoso.onmicrosoft.com", None),
        ("bob_local#EXT#@contoso.onmicrosoft.com", None),
        ("bob_b@contoso.example", None),
        (None, None),
    ],
)
def test_guest_address_of_upn(upn: str | None, address: str | None) -> None:
    assert of(values.guest_address, upn) == [address]


@pytest.mark.parametrize(
    ("cell", "parts"),
    [
        ("X400:c=US;a= ;p=First Org;o=Exchange;s=bob;;smtp:b@x.example",
         ["X400:c=US;a= ;p=First Org;o=Exchange;s=bob", "smtp:b@x.example"]),
        ("{SMTP:a@x.example, smtp:b@x.example}", ["SMTP:a@x.example", "smtp:b@x.example"]),
        ("SMTP: a@x.example|sip:a@x.example", ["SMTP: a@x.example", "sip:a@x.example"]),
        ("SMTP:a@x.example;¯smtp:b@x.example", ["SMTP:a@x.example", "smtp:b@x.example"]),
        ("SMTP:a@x.example\nsmtp:b@x.example\r\nX500:/o=First Org/ou=A;B/cn=c",
         ["SMTP:a@x.example", "smtp:b@x.example", "X500:/o=First Org/ou=A;B/cn=c"]),
        ("a@x.example; b@x.example,c@x.example", ["a@x.example", "b@x.example", "c@x.example"]),
        ("SMTP:a@x.example", ["SMTP:a@x.example"]),
        ("\x1fSMTP:a@x.example\x1fsmtp:b@x.example", ["SMTP:a@x.example", "smtp:b@x.example"]),
        ("", []),
        (None, None),
    ],
)  # fmt: skip
def test_joined_cell_split_at_prefixes(cell: str | None, parts: list[str] | None) -> None:
    assert of(values.split_proxies, cell) == [parts]


@pytest.mark.parametrize(
    ("proxies", "found"),
    [
        (["smtp:b@x.example", "SMTP: A@x.example"], {"a@x.example": "primary", "b@x.example": "alias"}),
        (["b@x.example", "a@x.example"], {"b@x.example": "primary", "a@x.example": "alias"}),
        (["smtp:b@x.example", "smtp:a@x.example"], {"b@x.example": "primary", "a@x.example": "alias"}),
        (["a@x.example", "SMTP:b@x.example"], {"b@x.example": "primary", "a@x.example": "alias"}),
        (["SMTP:a@x.example", "SMTP:b@x.example"], {"a@x.example": "primary", "b@x.example": "alias"}),
        (["SMTP:a@x.example", "smtp:A@X.example"], {"a@x.example": "primary"}),
        (["SMTP:a@x.example;b@x.example"], {"a@x.example": "primary", "b@x.example": "alias"}),
        (["X500:/o=a/cn=b@x.example", "sip:b@x.example", "SPO:SPO_1@SPO_2", "x400:c=us"], {}),
        (["SMTP:", "SMTP:not an address"], {}),
        ([None, ""], {}),
        ([], {}),
        (None, {}),
    ],
)
def test_proxy_prefix_distinguishes_primary_and_alias(proxies: list[str | None] | None, found: dict[str, str]) -> None:
    rows = pl.DataFrame(
        {"object_key": ["k"], "proxies": [proxies]}, schema={"object_key": pl.String, "proxies": pl.List(pl.String)}
    )
    result = values.proxy_rows(rows)
    assert result.schema == ADDRESS_SCHEMA
    assert dict(result.select("address", "rule").iter_rows()) == found


@pytest.mark.parametrize(
    ("rule", "texts", "outcomes"),
    [
        (values.clean_text, ("", " - ", values.ZERO_GUID, "[REDACTED]", "<redacted>", None), [None] * 6),
        (values.clean_text, (" a ", "0", "redacted"), ["a", "0", "redacted"]),
        (values.parse_bool, ("TRUE", "Yes", "1", "Compliant"), [True] * 4),
        (values.parse_bool, ("false", "No", "0", "noncompliant"), [False] * 4),
        (values.parse_bool, ("", "maybe", None), [None] * 3),
        (
            values.parse_serial_number,
            ("To be filled by O.E.M.", "0", "0000000", "System Serial Number", "None", ""),
            [None] * 6,
        ),
        (values.parse_serial_number, (" 5CG123 ", "00A1", "VMware-56 4d"), ["5CG123", "00A1", "VMware-56 4d"]),
        (values.is_type_name, ("Microsoft.ActiveDirectory.Management.ADPropertyValueCollection",), [True]),
        (values.is_type_name, ("System.String[]", "System.Byte[]", " System.Object[] ", "@{a=b}"), [True] * 4),
        (values.is_type_name, ("System.Collections.Generic.List`1[System.String]",), [True]),
        (values.is_type_name, ("Microsoft.Exchange.Data.ProxyAddressCollection",), [True]),
        (values.is_type_name, ("System.String", "a System.String[]", "", None), [False, False, False, None]),
        (guid_sid.guid, (f"{{{GUID.upper()}}}", "X'0b818fd05ca3a8499f4e0123456789ab'", GUID_BASE64), [GUID] * 3),
        (guid_sid.guid, (values.ZERO_GUID, "X'00'", "AAAAAAAAAAAAAAAAAAAAAA==", "x", "", None), [None] * 6),
        (guid_sid.immutable_guid, (GUID_BASE64, "employee-7", "1234", "", None), [GUID] + [None] * 4),
        (guid_sid.sid, ("s-1-5-21-1-2-3-1001", "S-1-5-18"), ["S-1-5-21-1-2-3-1001", "S-1-5-18"]),
        (guid_sid.sid, ("S-1-5", "S-1-5-", "AAAA", "X'01'", "", None), [None] * 6),
    ],
)
def test_value_normalised(rule: Rule, texts: tuple[str | None, ...], outcomes: list[object]) -> None:
    assert of(rule, *texts) == outcomes


@examples(15)
@given(st.lists(st.binary(min_size=16, max_size=16).filter(any), min_size=1, max_size=20))
def test_guid_equal_in_any_notation(values: list[bytes]) -> None:
    texts = [str(UUID(bytes_le=value)) for value in values]
    written = [
        form
        for text, value in zip(texts, values, strict=True)
        for form in (text, text.upper(), f"X'{value.hex()}'", _base64(value))
    ]
    assert of(guid_sid.guid, *written) == [text for text in texts for _ in range(4)]


@examples(20)
@given(st.integers(0, 2**48 - 1), st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=15))
def test_sid_equal_in_any_notation(authority: int, parts: list[int]) -> None:
    value = (
        bytes([1, len(parts)]) + authority.to_bytes(6, "big") + b"".join(part.to_bytes(4, "little") for part in parts)
    )
    text = "-".join(map(str, ["S-1", authority, *parts]))
    assert guid_sid.sid_of_bytes(value) == text
    assert of(guid_sid.sid, text, f"X'{value.hex()}'", _base64(value)) == [text] * 3
    assert guid_sid.sid_of_bytes(value[:-1]) is None


@examples(15)
@given(st.lists(st.binary(max_size=80), min_size=1, max_size=20))
def test_any_bytes_as_id_without_error(values: list[bytes]) -> None:
    written = [form for value in values for form in (f"X'{value.hex()}'", _base64(value))]
    for rule in (guid_sid.sid, guid_sid.guid):
        assert len(of(rule, *written)) == len(written)
    for value in values:
        assert guid_sid.sid_of_bytes(value) is None or value[0] == 1


def _base64(value: bytes) -> str:
    return b64encode(value).decode()


NOON = datetime(2021, 8, 19, 13, 25, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2021-08-19T13:25:31Z", NOON),
        ("2021-08-19T13:25:31.1234567Z", NOON + timedelta(microseconds=123456)),
        ("2021-08-19T15:25:31+02:00", NOON),
        ("2021-08-19 13:25:31", NOON),
        (" 2021-08-19T13:25:31.0000000 ", NOON),
        ("2021-08-19", datetime(2021, 8, 19, tzinfo=UTC)),
        ("8/19/2021 1:25:31 PM", NOON),
        ("08/19/2021 12:05:00 AM", datetime(2021, 8, 19, 0, 5, tzinfo=UTC)),
        ("19.08.2021 13:25:31", NOON),
        ("19. 8. 2021 13:25:31", NOON),
        ("19/08/2021 13:25:31", NOON),
        ("19/08/2021, 13:25:31", NOON),
        ("19-8-2021 13:25:31", NOON),
        ("9/8/2021 13:25", datetime(2021, 8, 9, 13, 25, tzinfo=UTC)),
        ("2021/8/19 13:25:31", NOON),
        ("2021. 08. 19. 13:25:31", NOON),
        ("20210819132531.0Z", NOON),
        ("20210819132531Z", NOON),
        ("132738531310000000", NOON),
        *((never, None) for never in ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.9999999Z", "1/1/0001 12:00:00 AM")),
        *((never, None) for never in ("0", "9223372036854775807", "16010101000000.0Z", "99999999999999999999")),
        *((odd, None) for odd in ("", "yesterday", "2021-02-30T00:00:00Z", "19/08/2021 1:25:31 PM", None)),
    ],
)
def test_timestamp_parsed(text: str | None, at: datetime | None) -> None:
    assert of(values.parse_timestamp, text) == [at]


RULES = (
    values.parse_timestamp,
    values.guest_address,
    values.split_proxies,
    values.clean_text,
    values.parse_bool,
    values.parse_serial_number,
    values.is_type_name,
    guid_sid.guid,
    guid_sid.sid,
    guid_sid.immutable_guid,
)


@examples(15)
@given(st.lists(st.text() | st.from_regex(r"[0-9:./T \-]{4,30}[ZzAPM]*", fullmatch=True), max_size=10))
def test_any_text_as_value_without_error(texts: list[str]) -> None:
    for rule in RULES:
        assert len(of(rule, *texts)) == len(texts)


@pytest.mark.parametrize(
    ("values_by_name", "kind"),
    [
        ({}, "person"),
        ({"upn": "bob@contoso.example", "user_type": "Member"}, "person"),
        ({"upn": "bob@contoso.example", "user_type": "guest"}, "guest"),
        ({"upn": "b_x.example#EXT#@contoso.example"}, "guest"),
        ({"upn": "b_x.example#EXT#@contoso.example", "user_type": "Member"}, "person"),
        ({"recipient_type": "4"}, "shared"),
        ({"recipient_type": "34359738368"}, "shared"),
        ({"recipient_type": "16"}, "room"),
        ({"recipient_type": "32"}, "room"),
        ({"recipient_type": "17179869184"}, "room"),
        ({"recipient_type": "2147483648"}, "person"),
        ({"recipient_type": "128"}, "person"),
        ({"recipient_type": "64"}, "contact"),
        ({"recipient_type": "2048"}, "group"),
        ({"recipient_type": "junk"}, "person"),
        ({"base": "group", "upn": "svc-x@contoso.example"}, "group"),
        ({"base": "contact", "mail": "postmaster@fabrikam.example"}, "contact"),
        ({"mail": "Postmaster@contoso.example"}, "system"),
        ({"mail": "postmasters@contoso.example"}, "person"),
        ({"upn": "SystemMailbox{bb558c35-97f1-4cb9-8ff7-d53741dc928c}@contoso.example"}, "system"),
        ({"upn": "DiscoverySearchMailbox{D919BA05-46A6-415f-80AD-7E09334BB852}@contoso.example"}, "system"),
        ({"sam": "krbtgt"}, "service"),
        ({"sam": "krbtgt_12345"}, "service"),
        ({"sam": "MSOL_0a1b2c3d4e5f"}, "service"),
        ({"upn": "Sync_SRV01_0a1b2c3d4e5f@contoso.onmicrosoft.com"}, "service"),
        ({"sam": "svc-backup"}, "service"),
        ({"sam": "Guest"}, "service"),
        ({"upn": "guest@contoso.example"}, "person"),
    ],
)
def test_kind_of_object(values_by_name: dict[str, str], kind: str) -> None:
    result = pl.select(object_kinds.kind(**{name: pl.lit(value) for name, value in values_by_name.items()})).item()
    assert result == kind
    assert result in KINDS


@pytest.mark.parametrize(
    ("classes", "kind"),
    [
        (["top", "person", "organizationalPerson", "user"], "person"),
        (["top", "person", "user", "computer"], "device"),
        (["user", "computer", "msDS-GroupManagedServiceAccount"], "service"),
        (["top", "group"], "group"),
        (["GROUPOFNAMES"], "group"),
        (["person", "contact"], "contact"),
        (["inetOrgPerson"], "person"),
        (["organizationalUnit"], None),
        ([], None),
    ],
)
def test_kind_of_class(classes: list[str], kind: str | None) -> None:
    rows = pl.DataFrame({"classes": [classes]}, schema={"classes": pl.List(pl.String)})
    assert rows.select(object_kinds.kind_of_class(pl.col("classes"))).item() == kind
