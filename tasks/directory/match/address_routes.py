"""The addresses that a recipient may mean: exact, by a domain alias, without its tag, unwrapped, corrected."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import polars as pl

from tasks.directory.formats.values import address_key

FORMS = ("", "BATV", "SRS", "VERP list", "VERP", "malformed")
ADDRESS_ROUTES = ("exact", "domain alias", "without tag", "domain alias, without tag")
ROUTES = tuple(
    ", ".join(part for part in (form, "" if form and route == "exact" else route) if part)
    for form in FORMS
    for route in ADDRESS_ROUTES
)
"""In order of precedence: the address itself before the address in it. Forms:

BATV: a signed sender of bounces (`prvs=1a2b3c4d=ann@…`); SRS: a sender that a forwarder rewrote
(`SRS0=HHH=TT=contoso.example=ann@forwarder.example`); VERP: the sender of bounces of a list, which has the address of
a receiver in it (`list-ann=contoso.example@…`), and may mean the list or the receiver; malformed: not an address, but
with one or several in it (`"Ann <ann@…>"`).
"""
_TAG = r"[0-9a-z]{4,}"
_BATV = (
    re.compile(r"(?:ms)?prvs\d?=[0-9a-f]{8,}=(?P<local>.+)"),
    re.compile(r"prvs=(?P<local>[^=]+)=(?=[0-9a-f]*\d)[0-9a-f]{8,}"),  # older servers wrote the tag last
    re.compile(rf"(?:ms)?prvs\d?={_TAG}=(?P<local>.+)"),
    re.compile(rf"btv1=={_TAG}==(?P<local>.+)"),  # Barracuda
)
_SRS = re.compile(r"srs(?:0[=+\-]|1[=+\-][^=]+=[^=]+=[=+\-])[^=]+=[^=]+=(?P<domain>[^=]+\.[^=]+)=(?P<local>.+)")
_VERP = re.compile(r"(?P<name>[^=]+)=(?P<domain>[^=]+\.[^=]+)")
_SEPARATORS = re.compile(r"[;,:<>()\[\]\"\r\n\t]+")
_QUOTES = "'`"


class Form(NamedTuple):
    """An address in a recipient."""

    form: str
    """one of FORMS"""
    part: int
    """A malformed recipient may have several addresses, each of which means somebody."""
    address: str


def candidate_addresses(
    recipients: pl.Series, domain_aliases: dict[str, str], *, plus_addressing: bool
) -> pl.DataFrame:
    """recipient, part, route (index in ROUTES), address.

    `part`: number of the address in a malformed recipient that has several, else 0.
    """
    texts = (
        recipients.drop_nulls()
        .unique(maintain_order=True)
        .alias("recipient")
        .to_frame()
        .with_columns(address=address_key(pl.col("recipient")))
    )
    rows = pl.concat([texts.drop_nulls().with_columns(form=pl.lit(0, pl.Int8), part=pl.lit(0, pl.Int8)), _forms(texts)])
    rows = rows.with_columns(
        local=pl.col("address").str.extract(r"^(.*)@"), domain=pl.col("address").str.extract(r"@([^@]*)$")
    )
    # Exchange tries the full address first and strips the part from the first `+` only if nobody has it.
    untagged = pl.when(pl.col("local").str.contains(r"^[^+]+\+")).then(pl.col("local").str.extract(r"^([^+]+)\+"))
    rows = rows.with_columns(bare=untagged if plus_addressing else pl.lit(None, pl.String))
    aliased_domain = pl.col("domain").replace_strict(domain_aliases, default=None, return_dtype=pl.String)
    rows = rows.with_columns(other=aliased_domain)
    texts_by_route = [
        pl.col("address"),
        pl.format("{}@{}", "local", "other"),
        pl.format("{}@{}", "bare", "domain"),
        pl.format("{}@{}", "bare", "other"),
    ]
    parts = [
        rows.select(
            "recipient",
            "part",
            route=(pl.col("form") * len(ADDRESS_ROUTES) + place).cast(pl.Int8),
            address=text,
        )
        for place, text in enumerate(texts_by_route)
    ]
    return pl.concat(parts).drop_nulls().unique(maintain_order=True)


def _forms(texts: pl.DataFrame) -> pl.DataFrame:
    """recipient, address, form (index in FORMS), part: the addresses in recipients that are not ordinary addresses."""
    odd = texts.filter(pl.col("address").is_null() | pl.col("address").str.contains(r"=|\'"))
    rows = [
        (recipient, form.address, FORMS.index(form.form), form.part)
        for recipient, address in odd.select("recipient", "address").iter_rows()
        for form in (_wrapped(address) if address else _contained(recipient))
    ]
    schema = {"recipient": pl.String, "address": pl.String, "form": pl.Int8, "part": pl.Int8}
    forms = pl.DataFrame(rows, schema=schema, orient="row")
    return (
        forms.with_columns(address=address_key(pl.col("address")))
        .drop_nulls("address")
        .select(*texts.columns, "form", "part")
    )


def _wrapped(address: str) -> Iterator[Form]:
    """The addresses that this one stands for."""
    if (unquoted := address.strip(_QUOTES)) != address:
        yield Form("malformed", 0, unquoted)
    local, _, domain = address.rpartition("@")
    if batv := next((match for pattern in _BATV if (match := pattern.fullmatch(local))), None):
        yield Form("BATV", 0, f"{batv['local']}@{domain}")
    elif srs := _SRS.fullmatch(local):
        yield Form("SRS", 0, f"{srs['local']}@{srs['domain']}")
    elif verp := _VERP.fullmatch(local):
        _, plus, name = verp["name"].rpartition("+")
        words = name.split("-")
        for place in range(len(words)):
            # Names may have hyphens, too: `list-ann-lee` is of ann-lee or of lee.
            yield Form("VERP", 0, f"{'-'.join(words[place:])}@{verp['domain']}")
            if place and not plus:
                yield Form("VERP list", 0, f"{'-'.join(words[:place])}@{domain}")


def _contained(text: str) -> Iterator[Form]:
    """The addresses in a text that is not an address. A name with a blank is not cut: `ann lee@…` is not lee."""
    segments = (segment.strip().strip(_QUOTES).split() for segment in _SEPARATORS.split(text))
    addresses = [word for words in segments if all("@" in word for word in words) for word in words]
    for part, address in enumerate(dict.fromkeys(addresses)):
        yield Form("malformed", part, address)
