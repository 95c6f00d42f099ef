"""Normalised values of directory exports: addresses, dates, multi-values, placeholders.

Expressions on text columns. Values that cannot be parsed become null, never an error: cells are filled by people,
scripts and strangers. GUIDs and SIDs: `guid_sid.py`.
"""

import idna
import polars as pl

from tasks.alerts import MOMENT
from tasks.directory.model import ADDRESS_RULES

ZERO_GUID = "00000000-0000-0000-0000-000000000000"

# 3.1 Case. Prefixes may be nested (`<smtp:a@b>`), and copied cells may contain invisible characters.
_BEFORE = r"(?i)^(?:[\s\x{200b}\x{feff}<]|mailto:|smtp:)+"
_AFTER = r"[\s\x{200b}\x{feff}>]+$"
# A quoted local part may contain anything but line ends; an unquoted one no blanks or list separators.
_ADDRESS = r'^(?:"[^\r\n]+"|[^\s@<>,;"]+)@(?:\[[0-9a-z:.]+\]|[^\s@<>,;"\[\].]+(?:\.[^\s@<>,;"\[\].]+)*)$'

# 2.3: what PowerShell prints for a list that was not joined.
_SENTINEL = (
    r"^(?:Microsoft\.ActiveDirectory\.Management\.ADPropertyValueCollection|System\.(?:String|Object|Byte)\[\]"
    r"|System\.Collections\..+|Microsoft\.Graph\.PowerShell\.Models\..+|Microsoft\.Exchange\..+"
    r"|System\.DirectoryServices\..+|@\{.*\})$"
)
_NOTHING = rf"(?i)^(?:-|\{{?{ZERO_GUID}\}}?|[\[<(*]+redacted[\]>)*]+)$"

# 2.8: placeholders of manufacturers for the serial number.
_JUNK_SERIAL = (
    r"(?i)^(?:[0x.\-_ ]+|to be filled by o\.?e\.?m\.?|(?:system|chassis|base ?board) serial number|serial ?number|none"
    r"|n/?a|null|unknown|invalid|default(?: string)?|not (?:specified|available|applicable)|oem"
    r"|0?123456789|1234567890?)$"
)

_TRUE, _FALSE = ("true", "yes", "1", "compliant"), ("false", "no", "0", "noncompliant")

# 2.4: X400 and X500 values contain separators, so a cell is split only where a known prefix follows.
_CUT = "\x1f"
_SEPARATORS = r"[;,|\s\x{af}]+"
_STRONG_SEPARATORS = r"[;,|\r\n\t\x{af}]+"
_AFTER_ADDRESS = r"(@[^\s@;,|\x1f]+)\s+"
_PREFIXED = rf"(?i)(?:^|{_SEPARATORS})((?:smtp|sip|x500|x400|eum|spo|ex|notes|fax|ccmail|ms)\s*:)"
_SMTP = r"(?is)^\s*(smtp\s*:)?(.*)$"
_OTHER_TYPE = r"(?i)^\s*[a-z0-9\-]+\s*:"

_ORDINARY_ADDRESS = r"(?i)^\s*(?:smtp:)?[^\s@<>,;:|\"]+@[a-z0-9\-]+(?:\.[a-z0-9\-]+)*\s*$"

_FILETIME_ZERO = 11_644_473_600  # seconds from 1601 to 1970
_DATE_FORMS = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y%m%d%H%M%S%#z",
    "%m/%d/%Y %I:%M:%S %p%#z",
    "%m/%d/%Y %I:%M %p%#z",
    "%d.%m.%Y %H:%M:%S%#z",
    "%d.%m.%Y %H:%M%#z",
)
_DAY_FIRST = r"^(\d\d?)(?:[/\-]|\. ?)(\d\d?)(?:[/\-]|\. ?)(\d{4}),? (\d\d?:\d\d(?::\d\d)?)$"
_YEAR_FIRST = r"^(\d{4})[/.] ?(\d\d?)[/.] ?(\d\d?)\.? "
_FIRST_YEAR, _LAST_YEAR = 1602, 9998  # 0001-01-01, FILETIME 0 and 9999-12-31 mean never


def address_key(expr: pl.Expr) -> pl.Expr:
    """The address as a key: NFC, lower case, domain as A-labels; null if it is not an address.

    Lower case, not casefold: casefold would merge ß with ss and ſ with s, which are different mailboxes.
    """  # noqa: RUF002
    text = expr.str.replace(_BEFORE, "").str.replace(_AFTER, "").str.to_lowercase()
    text = text.str.normalize("NFC").map_batches(_with_ascii_domains, return_dtype=pl.String)
    text = text.str.strip_suffix(".")
    return pl.when(text.str.contains(_ADDRESS)).then(text)


def _addresses_in(text: pl.Expr) -> pl.Expr:
    """The addresses of a list without types. A blank only separates after an address: `ann lee@x` is not `lee@x`."""
    cut = (
        text.str.strip_chars().str.replace_all(_STRONG_SEPARATORS, _CUT).str.replace_all(_AFTER_ADDRESS, "${1}" + _CUT)
    )
    return cut.str.split(_CUT).list.eval(pl.element().str.strip_chars()).list.filter(pl.element() != "")


def _with_ascii_domains(addresses: pl.Series) -> pl.Series:
    """Only the few domains with non-ASCII letters are encoded."""
    domain = addresses.str.extract(r"@([^@]*)$")
    non_ascii = domain.filter((domain.str.len_bytes() != domain.str.len_chars()).fill_null(value=False)).unique()
    if non_ascii.is_empty():
        return addresses
    ascii_domains = {name: _ascii(name) for name in non_ascii}
    local = pl.col("address").str.extract(r"(?s)^(.*@)[^@]*$")
    ascii_domain = pl.col("domain").replace_strict(ascii_domains, default=None, return_dtype=pl.String)
    rows = pl.DataFrame({"address": addresses, "domain": domain})
    return rows.select(pl.coalesce(local + ascii_domain, "address").alias(addresses.name)).to_series()


def _ascii(domain: str) -> str:
    """A-labels by UTS 46; an invalid domain is returned unchanged, so that it still equals itself."""
    try:
        return idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return domain


def guest_address(upn: pl.Expr) -> pl.Expr:
    """The address in a guest's name `alias_domain#EXT#@tenant`, by the last `_`; null if it cannot be derived.

    Entra truncates a doubly external name (`…#EXT#_….onmicrosoUEEKF#EXT#@…`), so it identifies no person.
    """
    parts = upn.str.extract_groups(r"(?i)^\s*(?<local>[^#]+)_(?<domain>[^_#@]+\.[^_#@]+)#EXT#@[^#]+$").struct
    return address_key(parts.field("local") + "@" + parts.field("domain"))


def split_proxies(cell: pl.Expr) -> pl.Expr:
    """The values of a joined proxyAddresses cell as a list; null of null."""
    text = cell.str.replace_all(_CUT, " ", literal=True).str.strip_chars("{} \t\r\n")
    prefixed = text.str.replace_all(_PREFIXED, _CUT + "${1}")
    values = prefixed.str.split(_CUT).list.eval(pl.element().str.strip_chars()).list.filter(pl.element() != "")
    return pl.when(prefixed == text).then(_addresses_in(text)).otherwise(values)


def proxy_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """object_key, proxies (list of texts) → ADDRESS_SCHEMA: `primary` and `alias`.

    The first `SMTP:` is the primary address, else the first value; no prefix means `smtp:`. Other types (X500, SIP, …)
    are not mail addresses. Scripts that join without prefixes put lists into one value.
    """
    values = rows.lazy().select("object_key", value="proxies").explode("value").with_row_index("place")
    values = values.filter(
        pl.col("value").str.contains(r"(?i)^\s*smtp\s*:") | ~pl.col("value").str.contains(_OTHER_TYPE)
    )
    parts = values.with_columns(
        upper=pl.col("value").str.contains(r"^\s*SMTP\s*:"), inner=pl.col("value").str.extract(_SMTP, 2)
    )
    quoted = pl.col("inner").str.contains('"', literal=True)
    inner = pl.when(quoted).then(pl.concat_list("inner")).otherwise(_addresses_in(pl.col("inner")))
    parts = parts.with_columns(inner).explode("inner")
    addresses = (
        parts.with_columns(address=address_key(pl.col("inner")))
        .drop_nulls("address")
        .sort(~pl.col("upper"), "place", maintain_order=True)
    )
    once = addresses.unique(["object_key", "address"], keep="first", maintain_order=True)
    first = pl.int_range(pl.len()).over("object_key") == 0
    ruled = once.with_columns(rule=pl.when(first).then(pl.lit("primary")).otherwise(pl.lit("alias")))
    return ruled.select(
        "object_key",
        "address",
        rank=pl.col("rule").replace_strict(ADDRESS_RULES, return_dtype=pl.Int8),
        rule="rule",
    ).collect()


def invalid_addresses(texts: pl.DataFrame) -> pl.DataFrame:
    """The rows of `texts` whose `text` has a part that should be a mail address and is none.

    Other types (X500:, sip:) and type names instead of values are not reported. Ordinary addresses are removed first,
    because every address of a directory is checked.
    """
    odd = texts.filter(~pl.col("text").str.contains(_ORDINARY_ADDRESS)).with_columns(clean_text(pl.col("text")))
    is_mail = pl.col("text").str.contains(r"(?i)^\s*smtp\s*:") | ~pl.col("text").str.contains(_OTHER_TYPE)
    odd = odd.filter(is_mail & ~is_type_name(pl.col("text"))).with_columns(value=pl.col("text").str.extract(_SMTP, 2))
    quoted = pl.col("value").str.contains('"', literal=True)
    parts = pl.when(quoted).then(pl.concat_list("value")).otherwise(_addresses_in(pl.col("value")))
    odd = odd.with_columns(value=parts).explode("value")
    return odd.filter(pl.col("value") != "", address_key(pl.col("value")).is_null()).drop("value")


def is_type_name(expr: pl.Expr) -> pl.Expr:
    """Whether the cell is a type name instead of data, so that the export lost a list."""
    return expr.str.strip_chars().str.contains(_SENTINEL)


def clean_text(expr: pl.Expr) -> pl.Expr:
    """The text without surrounding blanks; null for the placeholders '', '-', the zero GUID and `[REDACTED]`."""
    text = expr.str.strip_chars()
    return pl.when((text != "") & ~text.str.contains(_NOTHING)).then(text)


def parse_bool(expr: pl.Expr) -> pl.Expr:
    """True/False, Yes/No, 1/0, Compliant/Noncompliant in any case; null for anything else: unknown is not false."""
    text = expr.str.strip_chars().str.to_lowercase()
    return pl.when(text.is_in(_TRUE)).then(pl.lit(value=True)).when(text.is_in(_FALSE)).then(pl.lit(value=False))


def has_date(expr: pl.Expr) -> pl.Expr:
    """Whether there is a date, in any notation, that does not mean "never" (0001-01-01, also as .NET's /Date(…)/)."""
    text = clean_text(expr)
    never = text.str.contains(r"0001-01-01|^0?1/0?1/0001 |-62135596800000|^0$")
    return (text.is_not_null() & ~never).fill_null(value=False)


def parse_serial_number(expr: pl.Expr) -> pl.Expr:
    """Null for placeholders."""
    text = clean_text(expr)
    return pl.when(~text.str.contains(_JUNK_SERIAL)).then(text)


def parse_timestamp(expr: pl.Expr) -> pl.Expr:
    """UTC, from ISO 8601, GeneralizedTime, FILETIME or the formats of Windows cultures.

    Only US English has 12 hours and the month first; all others begin with the day or the year. Without a zone, UTC.
    Dates that mean "never" are null.
    """
    text = expr.str.strip_chars().str.replace(_DAY_FIRST, "${1}.${2}.${3} ${4}")
    text = text.str.replace(_YEAR_FIRST, "${1}-${2}-${3} ")
    text = text.str.replace(r"^(\d{4}-\d\d?-\d\d?) (\d)", "${1}T${2}")
    text = text.str.replace(r"^(\d{4}-\d\d-\d\d)$", "${1}T00:00:00")
    text = text.str.replace(r"^(\d{14})(?:[.,]\d+)?Z?$", "${1}Z")
    zoned = pl.when(text.str.contains(r"(?i)[0-9.](?:z|[+-]\d\d:?\d\d)$")).then(text).otherwise(text + "Z")
    ticks = pl.when(text.str.contains(r"^\d{17,19}$")).then(text).cast(pl.Int64, strict=False)
    filetime = pl.from_epoch(ticks // 10 - _FILETIME_ZERO * 1_000_000, time_unit="us").dt.replace_time_zone("UTC")
    forms = [zoned.str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False) for form in _DATE_FORMS]
    parsed = pl.coalesce(*forms, filetime).cast(MOMENT)
    return pl.when(parsed.dt.year().is_between(_FIRST_YEAR, _LAST_YEAR)).then(parsed)
