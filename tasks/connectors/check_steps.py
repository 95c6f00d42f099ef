"""Steps that the connection tests of all products share."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Literal

from tasks.connectors.base import Connector
from tasks.errors import AlertsError
from tasks.http.check import Check
from tasks.http.service_client import ServiceClient

ADDRESS, CLOCK, CREDENTIALS, EXPIRY = "address", "clock", "credentials", "key expiry"
WARN_BEFORE_EXPIRY = timedelta(days=14)


def check_address(connector: Connector, result: str) -> Check:
    """`result`: the text if the keys are sent to the vendor."""
    if connector.is_vendor_host():
        return Check(ADDRESS, "ok", result)
    result = (
        f"{connector.url} is not a host of {connector.vendor}; the keys are sent there because the connector allows it."
    )
    return Check(ADDRESS, "warning", result, "Correct it unless it is a simulator or a gateway of your own.")


def check_clock(client: ServiceClient, url: str, *, may_differ: timedelta, consequence: str) -> Check:
    """This machine's clock against the server's; sends no key."""
    try:
        difference = client.clock_difference(url)
    except AlertsError as error:
        return Check(CLOCK, "warning", f"The server's time could not be read. {error}", "Test again later.")
    if difference is None:
        return Check(CLOCK, "ok", "The server does not report its time; this machine's clock is used.")
    if abs(difference) <= may_differ:
        return Check(CLOCK, "ok", "This machine's clock agrees with the server's.")
    seconds = difference.total_seconds()
    direction = "behind" if seconds > 0 else "ahead of"
    says = f"This machine's clock is {abs(seconds):.0f} s {direction} the server's."
    return Check(CLOCK, "warning", says, f"Synchronise it by NTP{consequence}")


def check_expiry(connector: Connector, renew: str, keys: Literal["it", "them"]) -> Check:
    """The expiry of valid keys. `renew`: how to get new ones, e.g. "Make new ones"."""
    expires_at = connector.key_expires_at
    if expires_at is None:
        return Check(EXPIRY, "ok", "Not expired. The connector has no expiry date.")
    remaining = expires_at - datetime.now(UTC)
    if remaining < timedelta(0):
        says = f"The keys work, although the connector's date says they expired on {expires_at:%Y-%m-%d}."
        return Check(EXPIRY, "warning", says, "Correct the expiry date of the connector.")
    if remaining < WARN_BEFORE_EXPIRY:
        says = f"The keys expire on {expires_at:%Y-%m-%d}, in {remaining.days} days."
        return Check(EXPIRY, "warning", says, f"{renew} in time.{connector.rotation_hint(keys)}")
    return Check(EXPIRY, "ok", f"The keys are valid until {expires_at:%Y-%m-%d}.")


def skip(names: Sequence[str], why: str) -> list[Check]:
    """Skip the checks that an earlier step makes impossible."""
    return [Check(name, "skipped", f"Not tested: {why}.") for name in names]
