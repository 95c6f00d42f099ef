"""CSV exports of people from Okta and Google Workspace.

Okta: the admin console's list of people and its User Accounts report, and the profile's names in exports by the API.
Google: the admin console's "Download users", and `gam print users`.
"""

import polars as pl

from tasks.directory.formats.csv_fields import CsvFields, split_rejects
from tasks.directory.formats.object_kinds import kind
from tasks.directory.formats.values import address_key, parse_bool, split_proxies
from tasks.directory.model import Parsed
from tasks.directory.sources.entra_users_csv import full_name, split_deleted
from tasks.directory.sources.parsed_rows import parsed_rows

_NO_OKTA_ALIASES = (
    "Okta has no alias addresses, so recipients cannot be matched by alias. "
    "Import an export of your mail system as well."
)
_NO_GOOGLE_ALIASES = (
    "The file has no column for aliases, so recipients cannot be matched by alias. Export with "
    "`gam print users fields primaryEmail,name,aliases,suspended,id`."
)
_DISABLED = ("suspended", "deprovisioned", "deactivated", "archived")
_UNKNOWN = ("staged", "pending user action")
"""status of accounts that nobody has activated"""


def read_okta_users(fields: CsvFields) -> Parsed:
    return _read_users(fields, "okta-users", "Okta users CSV", _NO_OKTA_ALIASES)


def read_google_users(fields: CsvFields) -> Parsed:
    return _read_users(fields, "google-users", "Google Workspace users CSV", _NO_GOOGLE_ALIASES)


def _read_users(fields: CsvFields, source: str, family: str, no_aliases: str) -> Parsed:
    frame, deleted_warnings = split_deleted(fields.frame)
    people = _with_keys(frame)
    people, without_key = split_rejects(
        people, pl.col("object_key").is_null(), None, "no id, user name or mail address"
    )
    people = people.unique("object_key", keep="last", maintain_order=True)
    aliases = bool(people["aliases"].is_not_null().any())
    return parsed_rows(
        source,
        family,
        people=people,
        rejects=[fields.rejects, without_key],
        warnings=(*fields.warnings, *deleted_warnings, *(() if aliases or people.is_empty() else (no_aliases,))),
        has_aliases=aliases,
    )


def _with_keys(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns of OBJECT_SCHEMA and of `address_rows`. Aliases have no types, and `mail` is the primary address."""
    status = pl.col("status").str.to_lowercase()
    enabled = (
        pl.when(status.is_in(_DISABLED)).then(pl.lit(value=False))
        .when(status.is_not_null() & ~status.is_in(_UNKNOWN)).then(pl.lit(value=True))
    )  # fmt: skip
    return frame.select(
        "row", "upn", "mail", "department", "job_title", "employee_id",
        object_key=pl.coalesce(
            "id:" + pl.col("cloud_id"),
            "upn:" + pl.col("upn").str.to_lowercase(),
            "mail:" + address_key(pl.col("mail")),
        ),
        display_name=pl.coalesce("display_name", "full_name", full_name()),
        account_enabled=pl.coalesce(enabled, ~parse_bool(pl.col("blocked"))),
        kind=kind(upn=pl.col("upn"), mail=pl.col("mail")),
        aliases=split_proxies(pl.col("proxies")),
        other=split_proxies(pl.col("other")),
    )  # fmt: skip
