"""The connection test: one check for each possible fault, in the order in which a request meets them."""

from datetime import timedelta

from tasks.connectors import check_steps as steps
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

REGION, PERMITTED, ACCOUNT, QUOTA = "region", "permission", "account", "request quota"
AFTER_REACH = (steps.CLOCK, steps.CREDENTIALS, steps.EXPIRY, REGION, PERMITTED, ACCOUNT, QUOTA)

CLOCK_MAY_DIFFER = timedelta(seconds=5)
CLOCK_MATTERS = ". Windows are corrected by up to 5 minutes, but a signature may be refused for the difference."
PACKAGE = "Attachment Protection"
LOW_QUOTA_SHARE = 0.1


def run_checks(connector: MimecastConnector) -> tuple[list[Check], Account | None]:
    """All checks in order, and the account of the keys if it can be read.

    A check that an earlier one makes impossible is skipped with the reason. `tasks.http.check.passed` tells whether a
    poll would work.
    """
    checks = [
        steps.check_address(connector, f"{connector.url}, API {connector.api}."),
        reach_check(connector.url, vendor_host=connector.is_vendor_host()),
    ]
    if checks[-1].state == "failed":
        return checks + steps.skip(AFTER_REACH, "the host cannot be reached"), None
    with MimecastClient(connector, policy=BRIEF) as client:
        clock = steps.check_clock(client, connector.url, may_differ=CLOCK_MAY_DIFFER, consequence=CLOCK_MATTERS)
        refused = _refusal(client)
        accepted = refused is None or isinstance(refused, PermissionMissing)
        account, no_account = _account(client) if accepted else (None, None)
        used_up = refused if client.refusals and isinstance(refused, ServiceError) else None
        checks += [clock, *_keys(connector, clock, refused, account, throttled=used_up is not None)]
        checks.append(_account_check(connector, account, no_account) if accepted else _skipped(ACCOUNT))
        # The quota in an answer to unknown keys is not the account's.
        checks.append(_quota(client.quota, used_up) if accepted or used_up else _skipped(QUOTA))
    return checks, account


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
    """Credentials, expiry, region and permission, all judged by one small request for logs."""
    if refused is None or isinstance(refused, PermissionMissing):
        return [
            _accepted(connector),
            steps.check_expiry(connector, "Make new ones", "them"),
            _region(connector, account),
            _permitted(refused),
        ]
    match refused:
        case KeyExpired():
            step = f"Make new keys in the Mimecast console.{connector.rotation_hint('them')}"
            expired = Check(steps.EXPIRY, "failed", "The access key of this connector has expired.", step)
            accepted = Check(steps.CREDENTIALS, "ok", "The keys are known to Mimecast.")
            return [accepted, expired, *steps.skip((REGION, PERMITTED), "the keys have expired")]
        case CredentialsRefused():
            step = "Correct this machine's clock first. " if clock.state == "warning" else ""
            copied = f"Copy all of them again.{connector.rotation_hint('them')}"
            wrong = Check(steps.CREDENTIALS, "failed", str(refused), step + copied)
            return [
                wrong,
                *steps.skip((steps.EXPIRY, REGION, PERMITTED), "the keys are not accepted"),
            ]
        case WrongRegion():
            regions = ", ".join(HOSTS[connector.api])
            elsewhere = Check(REGION, "failed", str(refused), f"Choose another region or base URL: {regions}.")
            unknown = steps.skip((steps.CREDENTIALS, steps.EXPIRY), "this host cannot check the keys")
            return [*unknown, elsewhere, *steps.skip((PERMITTED,), "the region is wrong")]
        case _ if throttled:
            return steps.skip((steps.CREDENTIALS, steps.EXPIRY, REGION, PERMITTED), "the request quota is used up")
        case _:
            broken = Check(PERMITTED, "failed", str(refused), "Test again later.")
            return [
                *steps.skip((steps.CREDENTIALS, steps.EXPIRY, REGION), "the service answered with an error"),
                broken,
            ]


def _permitted(refused: PermissionMissing | None) -> Check:
    if refused is None:
        return Check(PERMITTED, "ok", "The keys may read attachment-protection logs.")
    return Check(PERMITTED, "failed", str(refused), f"Grant {PERMISSION} in the Mimecast console.")


def _accepted(connector: MimecastConnector) -> Check:
    which = "client id and client secret" if connector.api == "2.0" else "all four keys"
    return Check(steps.CREDENTIALS, "ok", f"Mimecast accepts {which}.")


def _region(connector: MimecastConnector, account: Account | None) -> Check:
    own_region = ((account.region if account else None) or "").lower()
    comparable = connector.api == "1.0" and not connector.base_url and own_region in HOSTS["1.0"]
    if comparable and own_region.rstrip("r") != connector.region.rstrip("r"):  # je and jer are one region
        says = f"This host serves the account, but the account's region is {own_region}."
        return Check(REGION, "warning", says, f"Choose the region {own_region}.")
    return Check(REGION, "ok", "The host serves this account.")


def _account(client: MimecastClient) -> tuple[Account | None, AlertsError | None]:
    try:
        return client.account(), None
    except AlertsError as error:
        return None, error


def _account_check(connector: MimecastConnector, account: Account | None, error: AlertsError | None) -> Check:
    if account is None:
        return Check(ACCOUNT, "warning", f"The account could not be read. {error}", "Test again later.")
    if account.code is None:
        return Check(
            ACCOUNT,
            "warning",
            "The keys may not read which account they belong to.",
            "Not needed for polling. Grant Account | Dashboard | Read to detect a second connector for the same "
            "account.",
        )
    name = f"{plain(account.name or 'unnamed')} ({plain(account.code)})"
    if connector.account_code not in (None, account.code):
        says = f"These keys belong to {name}, but this connector's data belongs to {plain(connector.account_code)}."
        return Check(ACCOUNT, "failed", says, "Use keys of the same account, or save a separate connector.")
    if account.packages is not None and not any(PACKAGE in package for package in account.packages):
        says = f"{name} does not have the package {PACKAGE}, so there may be no logs."
        return Check(ACCOUNT, "warning", says, f"Check your Mimecast subscription (package {PACKAGE}).")
    return Check(ACCOUNT, "ok", f"{name}.")


def _quota(quota: Quota | None, refused: AlertsError | None) -> Check:
    if refused is not None:
        return Check(QUOTA, "failed", str(refused), "Stop the other program, or poll less often.")
    if quota is None:
        return Check(QUOTA, "ok", "The server does not report how many requests are left.")
    says = f"{quota.remaining} of {quota.limit} requests are left in this period."
    if quota.remaining < quota.limit * LOW_QUOTA_SHARE:
        return Check(QUOTA, "warning", says, "Check whether another program uses the same keys.")
    return Check(QUOTA, "ok", says)


def _skipped(name: str) -> Check:
    return steps.skip((name,), "the keys are not accepted")[0]
