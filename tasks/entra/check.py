"""The connection test: one check for each possible fault, in the order in which a request meets them."""

from datetime import timedelta

from tasks.connectors import check_steps as steps
from tasks.entra.client import GraphClient
from tasks.entra.connector import EntraConnector
from tasks.entra.failure import SECRETS_PAGE
from tasks.entra.groups import HIDDEN_PERMISSION
from tasks.entra.pull import STREAMS, USERS, Stream, needs
from tasks.errors import AlertsError, CredentialsRefused, KeyExpired, PermissionMissing, WrongRegion
from tasks.http.check import Account, Check
from tasks.http.retry import BRIEF
from tasks.http.tls_check import REACHED, reach_check
from tasks.sanitize import plain

SIGN_IN_HOST, GRAPH_HOST = f"{REACHED}, sign-in", f"{REACHED}, Graph"
LEAST, ACCOUNT = "least permissions", "directory"
PERMISSIONS = tuple(f"reads {stream.name}" for stream in STREAMS)
AFTER_REACH = (steps.CLOCK, steps.CREDENTIALS, steps.EXPIRY, *PERMISSIONS, LEAST, ACCOUNT)

CLOCK_MAY_DIFFER = timedelta(seconds=60)  # a signed statement is good for ten minutes; people should know earlier
CLOCK_MATTERS = ": a sign-in by certificate is refused for it."


def run_checks(connector: EntraConnector) -> tuple[list[Check], Account | None]:
    """All checks in order, and the directory of the keys if it can be read.

    A check that an earlier one makes impossible is skipped with the reason. A missing permission is a warning if the
    pull only leaves out one kind of object, and a failure for users.
    """
    checks = [
        steps.check_address(connector, f"{connector.url}, sign-in at {connector.login_url}."),
        *_hosts(connector),
    ]
    if any(check.state == "failed" for check in checks):
        return checks + steps.skip(AFTER_REACH, "the host cannot be reached"), None
    with GraphClient(connector, policy=BRIEF) as client:
        clock = steps.check_clock(client, connector.login_url, may_differ=CLOCK_MAY_DIFFER, consequence=CLOCK_MATTERS)
        refusals = {USERS: _refusal(client, USERS)}
        keys = _keys(connector, clock, refusals[USERS])
        if keys[0].state != "ok":
            return [
                *checks,
                clock,
                *keys,
                *steps.skip((*PERMISSIONS, LEAST, ACCOUNT), "no token"),
            ], None
        refusals |= {stream: _refusal(client, stream) for stream in STREAMS if stream is not USERS}
        roles = client.roles()
        permissions = [_permission(stream, refusal, roles) for stream, refusal in refusals.items()]
        account, account_check = _account(client, connector)
    return [*checks, clock, *keys, *permissions, _least(roles), account_check], account


def _hosts(connector: EntraConnector) -> list[Check]:
    found = []
    for name, url in ((SIGN_IN_HOST, connector.login_url), (GRAPH_HOST, connector.url)):
        reached = reach_check(url, vendor_host=connector.is_vendor_host())
        found.append(Check(name, reached.state, reached.says, reached.next_step))
    return found


def _refusal(client: GraphClient, stream: Stream) -> AlertsError | None:
    try:
        client.object(stream.probe)
    except AlertsError as error:
        return error
    return None


def _keys(connector: EntraConnector, clock: Check, refused: AlertsError | None) -> list[Check]:
    """Credentials and expiry, both judged by the first request that needs a token."""
    match refused:
        case None | PermissionMissing():
            accepted = Check(steps.CREDENTIALS, "ok", f"Microsoft accepts the {_key(connector)}.")
            return [accepted, steps.check_expiry(connector, f"Make a new {_key(connector)}", "it")]
        case KeyExpired():
            step = f"Make a new one: {SECRETS_PAGE}.{connector.rotation_hint('it')}"
            says, _, _ = str(refused).partition(". ")
            expired = Check(steps.EXPIRY, "failed", f"{says}.", step)
            return [
                *steps.skip((steps.CREDENTIALS,), "Microsoft does not compare expired keys"),
                expired,
            ]
        case CredentialsRefused() | WrongRegion():
            step = "Correct this machine's clock first. " if clock.state == "warning" else ""
            wrong = Check(steps.CREDENTIALS, "failed", str(refused), f"{step}Correct the connector and test again.")
        case _:
            wrong = Check(steps.CREDENTIALS, "failed", str(refused), "Test again later.")
    return [wrong, *steps.skip((steps.EXPIRY,), "no token")]


def _key(connector: EntraConnector) -> str:
    return "certificate" if connector.certificate() else "client secret"


def _permission(stream: Stream, refused: AlertsError | None, roles: frozenset[str] | None) -> Check:
    """Whether one object of the stream can be read; the permissions in the token explain a refusal."""
    name = f"reads {stream.name}"
    if refused is None:
        return Check(name, "ok", f"The application may read {stream.name} ({stream.permission}).")
    if not isinstance(refused, PermissionMissing):
        return Check(name, "failed", str(refused), "Test again later.")
    step = needs(stream)
    if roles is not None and roles & {stream.permission, *stream.broader}:
        step = "The permission is granted; a new grant takes some minutes. Check that the directory has a licence."
    if stream is USERS:
        return Check(name, "failed", str(refused), step)
    return Check(name, "warning", f"{refused} The {stream.name} are left out.", step)


def _least(roles: frozenset[str] | None) -> Check:
    """Whether the application has permissions beyond those needed; fewer make stolen keys less useful."""
    if roles is None:
        return Check(LEAST, "ok", "The token does not list its permissions.")
    if more := sorted(roles - {stream.permission for stream in STREAMS} - {HIDDEN_PERMISSION}):
        says = f"The application has permissions that this product does not need: {plain(', '.join(more))}."
        return Check(
            LEAST, "warning", says, "Remove those that no other program needs, or register a separate application."
        )
    return Check(LEAST, "ok", "The application has no permission beyond those needed.")


def _account(client: GraphClient, connector: EntraConnector) -> tuple[Account, Check]:
    """The directory's name. Reading it needs no further permission, and the pull works without it."""
    code = connector.directory_id
    try:
        listed = client.listing("/organization?$select=id,displayName")
    except AlertsError as error:
        says = f"The name of the directory could not be read. {error}"
        return Account(code=code), Check(ACCOUNT, "warning", says, "No action needed: the pull works without it.")
    name = str((listed or [{}])[0].get("displayName") or "without a name")
    return Account(code=code, name=name), Check(ACCOUNT, "ok", f"{plain(name)} ({code}).")
