"""What people read about an event: plain text without anything that a chat or mail program would obey.

Ids, hashes, counts, and of a lost connector the error's own sentence: no file name, subject or address of a mail.
"""

import re
from typing import Any, NamedTuple

from tasks.notifications.events import PREFIX
from tasks.sanitize import plain

SILENT = "connector.silent"
"""Told by a trigger that waits for the next run in vain; no run can say it."""
TITLES = {
    "group.opened": "New group of alerts, priority {priority}",
    "group.reopened": "A closed group has come back, priority {priority}",
    "group.raised": "A group has risen to priority {priority}",
    "exposure.found": "A dangerous file reached somebody without an alert",
    "attachment.released": "A dangerous attachment was released",
    "suppression.expired": "An allow-list entry has ended: its alerts are shown again",
    "group.still-new": "Nobody has looked at a group of priority {priority} yet",
    "connector.lost": "No connection: {about}",
    "connector.back": "Connection is back: {about}",
    "connector.quiet": "No records for a day: {about}",
    SILENT: "No poll has ended in time: {about}",
}
NEXT = {
    "connector.lost": "attachment-alerts test-connection {about}",
    "connector.quiet": "Weekend, or no policy scans attachments any more? attachment-alerts test-connection {about}",
    SILENT: "Switched off on purpose? Else see that server and worker run: attachment-alerts health",
}
COUNTS = {
    "alerts": ("alert", "alerts"),
    "recipients": ("recipient", "recipients"),
    "users": ("person", "people"),
    "devices": ("device", "devices"),
    "exposed": ("recipient without an alert", "recipients without an alert"),
    "released": ("released", "released"),
}
"""Fact → what it counts, of one and of many."""
INERT = str.maketrans({"<": "(", ">": ")", "[": "(", "]": ")", "&": "+", "@": "(at)"})
"""For what calls people or makes links in mails and chats; our ids and hashes have none of it."""
ADDRESS = re.compile(r"(?<=\w)(:(?=//)|[.\u3002\uff0e\uff61](?=\w*[^\W\d_]))")
"""Where chats see an address and make a link of it: before `//`, and at the dots of a host, also those of IDNA."""


class Message(NamedTuple):
    """Subject and text."""

    subject: str
    body: str


def messages(event: str, about: str, facts: dict[str, Any]) -> list[Message]:
    """The messages for an event: more than one where it carries several changes."""
    return [message(event, about, each) for each in facts.get("each") or [facts]]


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
    """Any value on one line, without what a chat or mail program would obey: `https(:)//host(.)example (at)all`."""
    return ADDRESS.sub(r"(\1)", plain(str(value), 500).translate(INERT))


def _group(facts: dict[str, Any]) -> list[str]:
    known = {words: facts.get(name) for name, words in COUNTS.items()}
    return [
        " · ".join(f"{inert(count)} {words[count != 1]}" for words, count in known.items() if count is not None),
        f"SHA-256: {inert(facts.get('file_sha256') or 'none')}",
        f"detected: {_moment(facts, 'first_detected_at')} to {_moment(facts, 'last_detected_at')}",
        f"tenant: {inert(facts.get('tenant'))}",
        f"attachment-alerts group {inert(facts['group_id'])}",
    ]


def _connector(facts: dict[str, Any], words: dict[str, str], name: str) -> list[str]:
    lines = [inert(facts["error"])] if facts.get("error") else []
    lines += [f"complete until {_moment(facts, 'complete_until')}"] if facts.get("complete_until") else []
    return lines + ([NEXT[name].format(**words)] if name in NEXT else [])


def _digest(facts: dict[str, Any]) -> Message:
    groups = facts.get("groups")
    many = "group" if groups == 1 else "groups"
    title = f"{inert(groups)} {many} of alerts, {inert(facts.get('high'))} of priority high"
    changes = facts.get("changes") or {}
    causes = facts.get("causes") or {}
    lines = [
        f"{title}, in one message because they came in bulk or were detected more than a day ago.",
        "changes: " + ", ".join(f"{inert(count)} {_said(kind)}" for kind, count in changes.items()),
        "brought by: " + ", ".join(_said(cause) for cause in causes),
        f"tenant: {inert(facts.get('tenant'))}",
        *[f"attachment-alerts group {inert(group_id)}" for group_id in facts.get("group_ids") or []],
        "attachment-alerts alerts --priority high",
    ]
    return Message(title, "\n".join(lines))


def _said(kind: str) -> str:
    return inert(kind.replace("_", " "))


def _moment(facts: dict[str, Any], name: str) -> str:
    return f"{inert(facts.get(name))[:16].replace('T', ' ')} UTC"
