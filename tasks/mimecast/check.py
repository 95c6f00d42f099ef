"""The connection test: one line per thing that can be wrong, in the order in which a request meets them."""

from datetime import UTC, datetime, timedelta

from tasks.errors import (
    AlertsError,
    CredentialsRefused,
    KeyExpired,
    PermissionMissing,
    ServiceError,
    WrongRegion,
)
from tasks.http.check import Account, Check
from tasks.http.rate_limit import Quota
from tasks.http.retry import BRIEF
from tasks.http.tls_check import reach_check
from tasks.mimecast.client import MimecastClient
from tasks.mimecast.connector import MimecastConnector
from tasks.mimecast.error_codes import PERMISSION
from tasks.mimecast.regions import HOSTS
from tasks.sanitize import plain

CLOCK, CREDENTIALS, EXPIRY, REGION = "clock", "credentials", "key expiry", "region"
PERMITTED, ACCOUNT, QUOTA = "permission", "account", "request quota"
AFTER_REACH = (CLOCK, CREDENTIALS, EXPIRY, REGION, PERMITTED, ACCOUNT, QUOTA)

CLOCK_MAY_DIFFER = timedelta(seconds=5)
WARN_BEFORE_EXPIRY = timedelta(days=14)
PACKAGE = "Attachment Protection"
LITTLE_QUOTA = 0.1


def run_checks(connector: MimecastConnector) -> tuple[list[Check], Account | None]:
    """Every check in order, and the account the keys belong to where it could be asked.

    A check that an earlier one makes impossible is skipped, with the reason. `tasks.connectors.checks.passed` tells
    whether a poll would work.
    """
    checks = [_address(connector), reach_check(connector.url, vendor_host=connector.is_vendor_host())]
    if checks[-1].state == "failed":
        return checks + _skipped(AFTER_REACH, "the host cannot be reached"), None
    with MimecastClient(connector, policy=BRIEF) as client:
        clock = _clock(client)
        refused = _refusal(client)
        known = refused is None or isinstance(refused, PermissionMissing)
        account, no_account = _account(client) if known else (None, None)
        used_up = refused if client.refusals and isinstance(refused, ServiceError) else None
        checks += [clock, *_keys(connector, clock, refused, account, throttled=used_up is not None)]
        checks.append(_account_check(connector, account, no_account) if known else _not_asked(ACCOUNT))
        # What is left to keys that nobody knows says nothing of the account's quota.
        checks.append(_quota(client.quota, used_up) if known or used_up else _not_asked(QUOTA))
    return checks, account


def _address(connector: MimecastConnector) -> Check:
    if connector.is_vendor_host():
        return Check("address", "ok", f"{connector.url}, API {connector.api}.")
    says = f"{connector.url} is not a host of Mimecast; the keys are sent there because the connector allows it."
    return Check("address", "warning", says, "Right for a simulator or a gateway of your own. Else correct it.")


def _clock(client: MimecastClient) -> Check:
    try:
        difference = client.clock_difference()
    except AlertsError as error:
        return Check(CLOCK, "warning", f"The server's time could not be asked. {error}")
    if difference is None:
        return Check(CLOCK, "ok", "The server does not tell its time; this machine's clock is taken as right.")
    seconds = difference.total_seconds()
    if abs(difference) <= CLOCK_MAY_DIFFER:
        return Check(CLOCK, "ok", "This machine's clock agrees with the server's.")
    way = "behind" if seconds > 0 else "ahead of"
    return Check(
        CLOCK,
        "warning",
        f"This machine's clock is {abs(seconds):.0f} s {way} the server's.",
        "Set it by NTP. Windows are corrected by the difference, but a signature may be refused for it.",
    )


def _refusal(client: MimecastClient) -> AlertsError | None:
    try:
        client.may_read_logs()
    except AlertsError as error:
        return error
    return None


def _keys(
    connector: MimecastConnector,
    clock: Check,
    refused: AlertsError | None,
    account: Account | None,
    *,
    throttled: bool,
) -> list[Check]:
    """Credentials, expiry, region and permission: what one small request for logs tells about all four."""
    if refused is None or isinstance(refused, PermissionMissing):
        return [_accepted(connector), _expiry(connector), _region(connector, account), _permitted(refused)]
    match refused:
        case KeyExpired():
            step = f"Make new keys in the Mimecast console.{connector.by_rotation('them')}"
            expired = Check(EXPIRY, "failed", "The access key of this connector has expired.", step)
            known = Check(CREDENTIALS, "ok", "The keys are known to Mimecast.")
            return [known, expired, *_skipped((REGION, PERMITTED), "the keys have expired")]
        case CredentialsRefused():
            step = "Set this machine's clock first. " if clock.state == "warning" else ""
            copied = f"Copy all of them again.{connector.by_rotation('them')}"
            wrong = Check(CREDENTIALS, "failed", str(refused), step + copied)
            return [wrong, *_skipped((EXPIRY, REGION, PERMITTED), "the keys are not accepted")]
        case WrongRegion():
            regions = ", ".join(HOSTS[connector.api])
            elsewhere = Check(REGION, "failed", str(refused), f"Choose another region or base URL: {regions}.")
            unknown = _skipped((CREDENTIALS, EXPIRY), "this host cannot judge the keys")
            return [*unknown, elsewhere, *_skipped((PERMITTED,), "the region is wrong")]
        case _ if throttled:
            return _skipped((CREDENTIALS, EXPIRY, REGION, PERMITTED), "the request quota is used up")
        case _:
            broken = Check(PERMITTED, "failed", str(refused), "Test again later.")
            return [
                *_skipped((CREDENTIALS, EXPIRY, REGION), "the service did not answer as it should"),
                broken,
            ]


def _permitted(refused: PermissionMissing | None) -> Check:
    if refused is None:
        return Check(PERMITTED, "ok", "The keys may read attachment-protection logs.")
    return Check(PERMITTED, "failed", str(refused), f"Grant {PERMISSION} in the Mimecast console.")


def _accepted(connector: MimecastConnector) -> Check:
    which = "client id and client secret" if connector.api == "2.0" else "all four keys"
    return Check(CREDENTIALS, "ok", f"Mimecast accepts {which}.")


def _expiry(connector: MimecastConnector) -> Check:
    ends = connector.key_expires_at
    if ends is None:
        return Check(EXPIRY, "ok", "Not expired. When the keys will expire is not known here.")
    left = ends - datetime.now(UTC)
    if left < timedelta(0):
        says = f"By the date entered for them, the keys expired on {ends:%Y-%m-%d}, but they work."
        return Check(EXPIRY, "warning", says, "Correct the date of the connector.")
    if left < WARN_BEFORE_EXPIRY:
        says = f"The keys expire on {ends:%Y-%m-%d}, in {left.days} days."
        return Check(EXPIRY, "warning", says, f"Make new ones in time.{connector.by_rotation('them')}")
    return Check(EXPIRY, "ok", f"The keys are good until {ends:%Y-%m-%d}.")


def _region(connector: MimecastConnector, account: Account | None) -> Check:
    told = ((account.region if account else None) or "").lower()
    comparable = connector.api == "1.0" and not connector.base_url and told in HOSTS["1.0"]
    if comparable and told.rstrip("r") != connector.region.rstrip("r"):  # je and jer are one region
        says = f"This host serves the account, but the account says that its region is {told}."
        return Check(REGION, "warning", says, f"Choose the region {told}.")
    return Check(REGION, "ok", "The host serves this account.")


def _account(client: MimecastClient) -> tuple[Account | None, AlertsError | None]:
    try:
        return client.account(), None
    except AlertsError as error:
        return None, error


def _account_check(connector: MimecastConnector, account: Account | None, error: AlertsError | None) -> Check:
    if account is None:
        return Check(ACCOUNT, "warning", f"The account could not be asked. {error}", "Test again later.")
    if account.code is None:
        return Check(
            ACCOUNT,
            "warning",
            "The keys may not ask which account they belong to.",
            "Not needed for polling. With Account | Dashboard | Read a second connector for the same "
            "account is noticed.",
        )
    name = f"{plain(account.name or 'unnamed')} ({plain(account.code)})"
    if connector.account_code not in (None, account.code):
        says = f"These keys belong to {name}, but this connector's data is of {plain(connector.account_code)}."
        return Check(ACCOUNT, "failed", says, "Use keys of the same account, or save a connector of its own.")
    if account.packages is not None and not any(PACKAGE in package for package in account.packages):
        says = f"{name} does not list the package {PACKAGE}, so there may be nothing to read."
        return Check(ACCOUNT, "warning", says, "Ask whoever buys Mimecast for you.")
    return Check(ACCOUNT, "ok", f"{name}.")


def _quota(quota: Quota | None, refused: AlertsError | None) -> Check:
    if refused is not None:
        return Check(QUOTA, "failed", str(refused), "Stop the other program, or poll less often.")
    if quota is None:
        return Check(QUOTA, "ok", "The server does not tell how many requests are left.")
    says = f"{quota.remaining} of {quota.limit} requests left in this period."
    if quota.remaining < quota.limit * LITTLE_QUOTA:
        return Check(QUOTA, "warning", says, "Is another program using the same keys?")
    return Check(QUOTA, "ok", says)


def _not_asked(name: str) -> Check:
    return _skipped((name,), "the keys could not be used")[0]


def _skipped(names: tuple[str, ...], why: str) -> list[Check]:
    return [Check(name, "skipped", f"Not tested: {why}.") for name in names]
