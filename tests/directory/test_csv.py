"""CSV exports and zips, from bytes to source objects: each file in `exports` is read as its `.expected.json`."""

import json
import os
import re
import socket
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZipFile

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.directory.formats import archive, csv_table
from tasks.directory.formats.archive import expand
from tasks.directory.formats.header_aliases import FILE, HeaderAliases, load_headers
from tasks.directory.model import ATTRIBUTES, Parsed
from tasks.directory.sources.detect import read_export
from tasks.directory.sources.read_files import read_files
from tasks.errors import ExportRefused, SettingsError
from tasks.settings import DEFAULTS, Settings
from tests.directory.parsed_pairs import assert_matches_pair, assert_valid
from tests.examples import examples

EXPORTS = Path(__file__).with_name("exports")
TABLES = (".csv", ".txt", ".zip")
FILES = sorted(path for path in EXPORTS.iterdir() if path.suffix in TABLES)
GOOD = [path for path in FILES if not path.stem.startswith("refused_")]
HEADERS = load_headers(Settings(home=DEFAULTS))
USERS = b"userPrincipalName,displayName,id\n"
PERSON = b"a@contoso.example,A,00000000-0000-4000-8000-000000000001\n"


def test_every_export_has_a_pair() -> None:
    assert {path.stem for path in FILES} == {
        path.name.removesuffix(".expected.json") for path in EXPORTS.glob("*.json")
    }


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_export_read_as_its_pair(path: Path) -> None:
    assert_matches_pair(path, lambda: read_export(path.name, path.read_bytes(), HEADERS))


def read_or_refuse(content: bytes) -> list[Parsed]:
    try:
        parts = read_export("any.csv", content, HEADERS)
    except ExportRefused as refusal:
        assert str(refusal).isprintable()
        assert str(refusal).startswith("any.csv")
        return []
    assert_valid(parts)
    return parts


@examples(25)
@given(st.sampled_from([b"", USERS, b"PK\x03\x04"]), st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_any_bytes_read_or_refused(start: bytes, content: bytes) -> None:
    read_or_refuse(start + content)


cells = st.text(max_size=12) | st.sampled_from(
    [
        "", "-", "System.String[]", "X'00'", "X'c3'", "a@b", "@", "SMTP:a@b.example;x500:/o=a", "S-1-5-21-1",
        "S-1-5-" + "9" * 40, "0" * 32, "00000000-0000-0000-0000-000000000001", "9" * 19, "10000101000000.0Z",
        "99/99/9999 1:00:00 PM", "CN=a;CN=b", "top;group", "computer",
        "\ud7ff", "a_b.example#EXT#@c", "x\\y", "A,B;C", "'\"'", "True", "2" * 30,
    ]
)  # fmt: skip


@examples(20)
@given(st.data())
def test_any_cells_under_known_headers_read_or_refused(data: st.DataObject) -> None:
    family = data.draw(st.sampled_from(sorted(HEADERS.families)))
    known = sorted(HEADERS.families[family])
    names = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=len(known)))
    rows = data.draw(st.lists(st.lists(cells, min_size=len(names), max_size=len(names)), max_size=4))
    lines = [names, *rows]
    text = "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in line) for line in lines)
    read_or_refuse(text.encode())


@examples(20)
@given(st.data())
def test_damaged_export_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(GOOD)).read_bytes())
    for place in data.draw(st.lists(st.integers(0, len(content) - 1), max_size=6)):
        content[place] = data.draw(st.integers(0, 255))
    start = data.draw(st.just(0) | st.integers(0, len(content)))
    read_or_refuse(bytes(content[start : data.draw(st.just(len(content)) | st.integers(0, len(content)))]))


@examples(20)
@given(st.data())
def test_export_without_some_columns_read_or_refused(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in GOOD if path.suffix == ".csv" and path.read_bytes().isascii()]))
    frame = pl.read_csv(path, infer_schema=False, comment_prefix="#TYPE", truncate_ragged_lines=True)
    kept = data.draw(st.lists(st.sampled_from(frame.columns), min_size=1, unique=True))
    read_or_refuse(frame.select(kept).write_csv().encode())


def test_json_and_ldif_detected_by_content() -> None:
    user = {"id": "00000000-0000-4000-8000-000000000001", "userPrincipalName": "a@contoso.example"}
    (part,) = read_export("a.csv", json.dumps(user).encode("utf-16"), HEADERS)
    assert part.source == "graph-users"
    entry = b"# a comment\n  folded\n\ndn: CN=A,DC=contoso,DC=example\nobjectClass: user\nsAMAccountName: a\n"
    (part,) = read_export("a.csv", entry, HEADERS)
    assert part.source == "ad"


def test_large_file_read_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_table, "BATCH_ROWS", 3)
    people = b"".join(b"u%d@contoso.example,U,\n" % number for number in range(10))
    (part,) = read_export("a.csv", USERS + people, HEADERS)
    assert part.objects["upn"].to_list() == [f"u{number}@contoso.example" for number in range(10)]
    assert part.objects["row"].to_list() == list(range(2, 12))


def test_cell_with_3000_members_read() -> None:
    names = ";".join(
        f"CN=Person {number},OU=A rather long name of a unit,DC=contoso,DC=example" for number in range(3000)
    )
    content = f'DN,objectClass,cn,member\n"CN=All,DC=contoso,DC=example",top;group,All,"{names}"\n'
    (part,) = read_export("a.csv", content.encode(), HEADERS)
    assert part.members.height == 3000


def site(home: Path, text: str) -> HeaderAliases:
    (home / FILE).write_text(text, encoding="utf-8")
    return load_headers(Settings(home=home))


def test_headers_of_the_site_precede_ours(tmp_path: Path) -> None:
    own = site(
        tmp_path, "family,header,field\nentra-users,Anmeldename,upn\n,Abteilung,department\nentra-users,mail,ignore\n"
    )
    content = b"ANMELDENAME,displayName,mail,Abteilung\na@contoso.example,A,m@contoso.example,Einkauf\n"
    with pytest.raises(ExportRefused, match=r"directory_headers\.csv"):
        read_export("a.csv", content, HEADERS)
    (part,) = read_export("a.csv", content, own)
    assert part.objects.select("upn", "mail", "department").rows() == [("a@contoso.example", None, "Einkauf")]


def test_every_field_of_entries_has_its_own_name_in_the_headers_file() -> None:
    stand_ins = {"aliases", "memberaddress"}
    assert {name for name, field in HEADERS.families["ad"].items() if name == field} >= set(ATTRIBUTES) - stand_ins
    assert set(HEADERS.families["ad"].values()) == set(ATTRIBUTES)


NAMES_OF_A_SITE = """family,header,field
ad,corpMail,mail
ad,corpOtherMail,aliases
ad,corpList,memberaddress
entra-users,signIn,upn
entra-users,addresses,proxies
entra-users,mail,ignore
entra-devices,host,device_name
"""


def test_names_of_the_site_read_in_ldif(tmp_path: Path) -> None:
    own = site(tmp_path, NAMES_OF_A_SITE)
    person = "dn: uid=ann,dc=x\nobjectClass: corp\nuid: ann\nCorpMail: ann@x.example\ncorpOtherMail: a@x.example\n"
    alias = "dn: cn=all,dc=x\nobjectClass: corp\ncn: all\ncorpMail: all@x.example\ncorpList: ann@x.example\n"
    (part,) = read_export("a.ldif", f"{person}\n{alias}".encode(), own)
    assert part.objects["kind"].to_list() == ["person", "group"]
    assert dict(part.addresses.select("address", "rule").rows()) == {
        "ann@x.example": "mail", "a@x.example": "alias", "all@x.example": "mail"
    }  # fmt: skip
    assert part.members.select("ref_kind", "ref").rows() == [("address", "ann@x.example")]
    with pytest.raises(ExportRefused, match="none of its 2 entries"):
        read_export("a.ldif", f"{person}\n{alias}".encode(), HEADERS)


def test_names_of_the_site_read_in_json(tmp_path: Path) -> None:
    own = site(tmp_path, NAMES_OF_A_SITE)
    people = [
        {"signIn": "ann@x.example", "mail": "other@x.example", "addresses": ["SMTP:ann@x.example", "a@x.example"]}
    ]
    (part,) = read_export("a.json", json.dumps(people).encode(), own)
    assert part.objects.select("upn", "mail", "primary_smtp").rows() == [("ann@x.example", None, "ann@x.example")]
    assert set(part.addresses["address"]) == {"ann@x.example", "a@x.example"}
    devices = [{"id": "1", "deviceId": "00000000-0000-4000-8000-000000000001", "host": "PC-1"}]
    (part,) = read_export("a.json", json.dumps(devices).encode(), own)
    assert part.devices["device_name"].to_list() == ["PC-1"]
    entries = [{"distinguishedName": "uid=ann,dc=x", "objectClass": "corp", "uid": "ann", "corpMail": "ann@x.example"}]
    (part,) = read_export("a.json", json.dumps(entries).encode(), own)
    assert part.addresses["address"].to_list() == ["ann@x.example"]


@pytest.mark.parametrize(
    ("header", "cells", "other_name"),
    [
        ("displayName,mail,id", "A,a@x.example,00000000-0000-4000-8000-000000000001", "mail"),
        ("Name,Anmeldename,Abteilung", "A,a@x.example,B", "Anmeldename"),
        ("firstName,lastName,email,status,Kennung", "A,B,a@x.example,ACTIVE,a", "Kennung"),
        ("Device name,Nummer,OS", "PC-1,00000000-0000-4000-8000-000000000001,Windows", "Nummer"),
        ("SamAccountName,Mail,Nummer", "a,a@x.example,00000000-0000-4000-8000-000000000001", "Nummer"),
    ],
)
def test_advice_of_a_refusal_followed_succeeds(header: str, cells: str, other_name: str, tmp_path: Path) -> None:
    content = f"{header}\n{cells}\n".encode()
    with pytest.raises(ExportRefused) as refusal:
        read_export("a.csv", content, HEADERS)
    lines = re.findall(r"[a-z\-]+,<column>,[a-z_]+", str(refusal.value))
    own = site(tmp_path, "\n".join(["family,header,field", *lines, ""]).replace("<column>", other_name))
    (part,) = read_export("a.csv", content, own)
    assert part.objects.height + part.devices.height == 1


def test_headers_file_without_family_applies_to_all_families(tmp_path: Path) -> None:
    own = site(tmp_path, "header,field\nAbteilung,department\n")
    assert all("abteilung" in own.families[family] for family in ("ad", "entra-users"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("header,field\nA,nonsense\n", "line 2"),
        ("family,header,field\nnowhere,A,upn\n", "line 2"),
        ("family,header,field\nentra-devices,A,upn\n", "line 2"),
        ("header,field\n,upn\n", "line 2"),
        ("header\nA\n", "header and field"),
        ("", "directory_headers"),
    ],
)
def test_invalid_headers_file_refused(text: str, fault: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=fault):
        site(tmp_path, text)


def zipped(**members: bytes) -> bytes:
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def test_files_folders_and_zips_expanded(tmp_path: Path) -> None:
    inner = tmp_path / "all" / "inner"
    inner.mkdir(parents=True)
    (inner / "b.csv").write_bytes(b"b")
    (inner / ".hidden").write_bytes(b"x")
    (tmp_path / "all" / "a.zip").write_bytes(zipped(one=b"1", two=b"2"))
    (tmp_path / "all" / "broken.zip").write_bytes(b"PK\x03\x04")
    for name in ("done", "refused"):
        (tmp_path / "all" / name).mkdir()
        (tmp_path / "all" / name / "c.csv").write_bytes(b"c")
    (tmp_path / "d.csv").write_bytes(b"d")
    found = list(expand([tmp_path / "d.csv", tmp_path / "all"]))
    assert found == [
        ("d.csv", b"d"), ("all/a.zip/one", b"1"), ("all/a.zip/two", b"2"), ("all/broken.zip", b"PK\x03\x04"),
        ("all/inner/b.csv", b"b"),
    ]  # fmt: skip


def test_too_large_file_refused_and_others_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100)
    (tmp_path / "large.csv").write_bytes(bytes(101))
    (tmp_path / "users.csv").write_bytes(USERS + PERSON)
    exports, refused = read_files([tmp_path], Settings(home=tmp_path))
    assert [export.file_name.partition("/")[2] for export in exports] == ["users.csv"]
    assert [file.file_name.partition("/")[2] for file in refused] == ["large.csv"]


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[Path]:
    """A folder of links and special files; the links lead to a file and a folder beside it."""
    folder, outside = tmp_path / "odd", tmp_path / "outside"
    for directory in (folder, outside):
        directory.mkdir()
    (outside / "users.csv").write_bytes(b"secret")
    (folder / "to-a-file").symlink_to(outside / "users.csv")
    (folder / "to-a-folder").symlink_to(outside)
    (folder / "to-nothing").symlink_to(outside / "nothing")
    os.mkfifo(folder / "a-pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "a-socket"))
        yield folder


def test_links_and_special_files_in_folder_refused_unopened(odd: Path) -> None:
    found = dict(expand([odd]))
    assert list(found) == [f"odd/{name}" for name in ("a-pipe", "a-socket", "to-a-file", "to-a-folder", "to-nothing")]
    assert {type(content) for content in found.values()} == {ExportRefused}


def test_link_as_path_followed_only_on_request(odd: Path) -> None:
    links = [odd / "to-a-file", odd / "to-a-folder"]
    assert list(expand(links)) == [("users.csv", b"secret"), ("outside/users.csv", b"secret")]
    refused = dict(expand([*links, odd / "to-nothing", odd / "a-pipe"], follow=False))
    assert list(refused) == ["to-a-file", "to-a-folder", "to-nothing", "a-pipe"]
    assert {type(content) for content in refused.values()} == {ExportRefused}


@pytest.mark.parametrize("swapped", ["users.csv", "folder"])
def test_link_that_replaces_a_file_after_the_check_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: str
) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "inner.csv").write_bytes(b"secret")
    (tmp_path / "in" / "folder").mkdir(parents=True)
    (tmp_path / "in" / "users.csv").write_bytes(b"mine")
    opened = os.open

    def swap(path: str, *rest: Any, **given: Any) -> int:
        if path == swapped:
            place = tmp_path / "in" / swapped
            place.rename(tmp_path / "was")
            place.symlink_to(tmp_path / "outside" / ("inner.csv" if place.suffix else ""))
        return opened(path, *rest, **given)

    monkeypatch.setattr(archive.os, "open", swap)
    found = dict(expand([tmp_path / "in"]))
    assert isinstance(found[f"in/{swapped}"], ExportRefused)
    assert b"secret" not in found.values()


def test_digest_with_other_headers_differs(tmp_path: Path) -> None:
    (tmp_path / "users.csv").write_bytes(USERS + PERSON)
    digests = []
    for headers in ("header,field\nA,upn\n", "header,field\nA,upn\n", "header,field\nB,upn\n"):
        (tmp_path / FILE).write_text(headers)
        exports, _ = read_files([tmp_path / "users.csv"], Settings(home=tmp_path))
        digests += [export.digest for export in exports]
    assert digests[0] == digests[1] != digests[2]


def test_missing_path_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a")
    with pytest.raises(ExportRefused, match=r"nowhere does not exist"):
        next(expand([tmp_path / "a.csv", tmp_path / "nowhere"]))


def test_zip_bomb_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_BYTES", 100_000)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 3)
    zeros = bytes(60_000)
    bombs = [zipped(a=zeros, b=zeros), zipped(a=b"", b=b"", c=b"", d=b"")]
    for bomb in bombs:
        with pytest.raises(ExportRefused, match="larger"):
            read_export("bomb.zip", bomb, HEADERS)


def test_encrypted_or_unsupported_zip_refused() -> None:
    plain_zip = bytearray(zipped(a=b"text"))
    plain_zip[plain_zip.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(ExportRefused, match="password"):
        read_export("a.zip", bytes(plain_zip), HEADERS)
    buffer = BytesIO()
    with ZipFile(buffer, "w", ZIP_LZMA) as file:
        file.writestr("a", b"text")
    with pytest.raises(ExportRefused, match="compression"):
        read_export("a.zip", buffer.getvalue(), HEADERS)
