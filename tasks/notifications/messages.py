"""The texts of messages: plain text without anything that a chat or mail program would act on.

IDs, hashes, counts and, of a lost connection, the error message; no file name, subject or address of a mail.
"""

import re
from typing import Any, NamedTuple

from tasks.notifications.events import PREFIX
from tasks.sanitize import plain

SILENT = "connector.silent"
"""Sent by a trigger if the next run does not finish in time."""
TITLES = {
    "group.opened": "New alert group, priority {priority}",
    "group.reopened": "Alert group reopened, priority {priority}",
    "group.raised": "Alert group raised to priority {priority}",
    "exposure.found": "A dangerous file also reached a recipient without an alert",
    "attachment.released": "A dangerous attachment was released",
    "suppression.expired": "An allow-list entry expired; its alerts are visible again",
    "group.still-new": "Alert group of priority {priority} still waiting for triage",
    "connector.lost": "Connection lost: {about}",
    "connector.back": "Connection restored: {about}",
    "connector.quiet": "No records for a day: {about}",
    SILENT: "No poll finished in time: {about}",
}
NEXT_STEPS = {
    "connector.lost": "attachment-alerts test-connection {about}",
    "connector.quiet": "Unless it is a quiet day, check that a policy still scans attachments: "
    "attachment-alerts test-connection {about}",
    SILENT: "Unless polling was switched off, check that the server and a worker are running: attachment-alerts health",
}
CHANGES = {
    "group_opened": "new",
    "group_reopened": "reopened",
    "group_raised": "raised in priority",
    "exposure_found": "with new exposures",
    "released": "with released attachments",
    "suppression_expired": "visible again",
    "reminder": "still waiting for triage",
}
CAUSES = {"first_look_back": "first look-back", "expiry": "expired allow-list entry", "reminder": "time without triage"}
COUNTS = {
    "alerts": ("alert", "alerts"),
    "recipients": ("recipient", "recipients"),
    "users": ("person", "people"),
    "devices": ("device", "devices"),
    "exposed": ("recipient without an alert", "recipients without an alert"),
    "released": ("released", "released"),
}
"""Fact → singular and plural of what it counts."""
INERT = str.maketrans({"<": "(", ">": ")", "[": "(", "]": ")", "&": "+", "@": "(at)"})
"""Replaces what mentions people or makes links in mails and chats; our IDs and hashes contain none of it."""
ADDRESS = re.compile(r"(?<=\w)(:(?=//)|[.\u3002\uff0e\uff61](?=\w*[^\W\d_]))")
"""Where chats detect an address and link it: before `//`, and at the dots of a host name, also those of IDNA."""


class Message(NamedTuple):
    subject: str
    body: str


def message(event: str, about: str, facts: dict[str, Any]) -> Message:
    """The message for an event; `about` is the name of its resource, `facts` its payload."""
    name = event.removeprefix(PREFIX)
    if name == "digest":
        return _digest(facts)
    words = {"about": inert(about), "priority": inert(facts.get("priority"))}
    title = TITLES.get(name, "{about}: " + inert(name)).format(**words)
    lines = [title + ".", *(_group(facts) if "group_id" in facts else _connector(facts, words, name))]
    return Message(title, "\n".join(lines))


def inert(value: Any) -> str:
    """Any value on one line, without what a chat or mail program acts on: `https(:)//host(.)example (at)all`."""
    return ADDRESS.sub(r"(\1)", plain(str(value), 500).translate(INERT))


def _group(facts: dict[str, Any]) -> list[str]:
    counts = {nouns: facts.get(name) for name, nouns in COUNTS.items()}
    return [
        " · ".join(f"{inert(count)} {nouns[count != 1]}" for nouns, count in counts.items() if count is not None),
        f"SHA-256: {inert(facts.get('file_sha256') or 'none')}",
        f"detected: {_moment(facts, 'first_detected_at')} to {_moment(facts, 'last_detected_at')}",
        f"tenant: {inert(facts.get('tenant'))}",
        f"attachment-alerts group {inert(facts['group_id'])}",
    ]


def _connector(facts: dict[str, Any], words: dict[str, str], name: str) -> list[str]:
    lines = [inert(facts["error"])] if facts.get("error") else []
    lines += [f"complete until {_moment(facts, 'complete_until')}"] if facts.get("complete_until") else []
    return lines + ([NEXT_STEPS[name].format(**words)] if name in NEXT_STEPS else [])


def _digest(facts: dict[str, Any]) -> Message:
    groups = facts.get("groups")
    noun = "alert group" if groups == 1 else "alert groups"
    title = f"{inert(groups)} {noun}, {inert(facts.get('high'))} of them high priority"
    changes, causes = facts.get("changes") or {}, facts.get("causes") or {}
    lines = [
        f"{title}; one message because they arrived in bulk or were detected more than a day ago.",
        "changes: " + ", ".join(f"{inert(count)} {_phrase(CHANGES, kind)}" for kind, count in changes.items()),
        "cause: " + ", ".join(_phrase(CAUSES, cause) for cause in causes),
        f"tenant: {inert(facts.get('tenant'))}",
        *[f"attachment-alerts group {inert(group_id)}" for group_id in facts.get("group_ids") or []],
        "attachment-alerts alerts --priority high",
    ]
    return Message(title, "\n".join(lines))


def _phrase(phrases: dict[str, str], name: str) -> str:
    return phrases.get(name) or inert(name.replace("_", " "))


def _moment(facts: dict[str, Any], name: str) -> str:
    return f"{inert(facts.get(name))[:16].replace('T', ' ')} UTC"
