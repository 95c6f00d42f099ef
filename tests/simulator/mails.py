"""One simulated mail: a record per attachment and recipient, in the vendor's format."""

from random import Random
from typing import Any

from tests.simulator.files import File, file_number, zipf_number
from tests.simulator.people import PEOPLE, SHARED_ADDRESSES, Person
from tests.simulator.rows import Row, date_text

Record = dict[str, Any]

_SENDER_NAMES = ("billing", "no-reply", "orders", "hr", "j.smith", "accounts", "newsletter", "scanner", "ceo")
_OUTSIDE_DOMAINS = (
    "fabrikam.example", "adatum.example", "wingtip.test", "example.com", "example.org", "northwind.example",
    "tailspin.test", "litware.example", "proseware.example",
)  # fmt: skip
_SUBJECTS = (
    "Re", "Your invoice", "FW: documents", "Scan from office printer", "Payment overdue", "Meeting notes",
    "Order confirmation", "Bewerbung", "FIRE DRILL", "請求書について",
)  # fmt: skip
_DEFINITIONS = {
    "inbound": "Default Inbound Attachment Protect Definition",
    "outbound": "Default Outbound Attachment Protect Definition",
    "internal": "Default Internal Attachment Protect Definition",
    "external": "Inbound - Safe file with On-Demand Sandbox",
}
HELD = ("hold, none", "hold, notify", "block, none")
_MINUTE = 60


def padded_details(verdict: str, seconds: int) -> str:
    """The vendor's `details`: verdict padded to 50 characters, CR LF, how long the sandbox took."""
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    return f"{verdict.capitalize():<50}\r\nTime taken: {hours} hrs, {minutes} min, {seconds} sec"


def mail_rows(rng: Random, seed: int, when: int) -> list[Row]:
    """All rows of one mail: they share sender, subject, message id and date."""
    rand = rng.random
    route = _route(rand())
    sender, recipients = _parties(rng, route)
    mail = {
        "senderAddress": sender,
        "route": route,
        "date": date_text(when),
        "messageId": f"<{int(rand() * 2**52):013x}-{when % 1_000_000}@{sender.partition('@')[2]}>",
        "subject": _SUBJECTS[int(rand() * len(_SUBJECTS))],
        "definition": _DEFINITIONS[route],
    }
    rows = []
    for _ in range(_attachments(rand())):
        file = file_number(seed, zipf_number(rand()))
        fields, changes = _scan(rng, file, when)
        for recipient in recipients:
            rows.append(Row(when, when, record(mail, file, fields, recipient), changes))
    return rows


def record(mail: Record, file: File, scan: Record, recipient: str) -> Record:
    """A complete record, its keys in the order of the vendor's samples."""
    return {
        "senderAddress": mail["senderAddress"],
        "recipientAddress": recipient,
        "fileName": file.name,
        "fileType": file.mime_type,
        "result": scan["result"],
        "actionTriggered": scan["actionTriggered"],
        "date": mail["date"],
        "details": scan["details"],
        "route": mail["route"],
        "messageId": mail["messageId"],
        "subject": mail["subject"],
        "fileHash": file.sha256,
        "definition": mail["definition"],
    }


def _scan(rng: Random, file: File, when: int) -> tuple[Record, tuple[tuple[int, Record], ...]]:
    """Verdict and action of one attachment, and how they change later."""
    rand = rng.random
    verdict, chance = file.verdict_on(when // 86_400), rand()
    if chance < 0.045:  # of any file: the sandbox had no result
        verdict = "timeout" if chance < 0.03 else "error"
    seconds = int(rand() ** 4 * 900) if verdict != "timeout" else 1800
    action = HELD[int(rand() * len(HELD))] if verdict in ("malicious", "unsafe") else "none, none"
    if action == "none, none" and chance > 0.8:
        action = "none"
    scan = {"result": verdict, "actionTriggered": action, "details": padded_details(verdict, seconds)}
    changes: tuple[tuple[int, Record], ...] = ()
    if verdict == "unknown" and chance > 0.6:
        later = {"result": "malicious", "details": padded_details("malicious", seconds)}
        changes = ((when + 30 * _MINUTE, later),)
    elif action in HELD and chance > 0.85:
        changes = ((when + int(20 + rand() * 280) * _MINUTE, {"actionTriggered": "user release, none"}),)
    return scan, changes


def _route(chance: float) -> str:
    if chance < 0.80:
        return "inbound"
    if chance < 0.90:
        return "internal"
    return "outbound" if chance < 0.995 else "external"


def _attachments(chance: float) -> int:
    return 1 if chance < 0.75 else 2 if chance < 0.95 else 3


def _parties(rng: Random, route: str) -> tuple[str, list[str]]:
    rand = rng.random
    outsider = f"{_SENDER_NAMES[int(rand() * 9)]}@{_OUTSIDE_DOMAINS[int(rand() * 9)]}"
    insider = _person(rand()).mail
    if route == "outbound":
        return insider, [outsider]
    sender = insider if route == "internal" else outsider
    size = rand()
    number = 1 if size < 0.8 else 2 + int(rand() * 4) if size < 0.99 else 15 + int(rand() * 25)
    return sender, list(dict.fromkeys(_mailbox(rng) for _ in range(number)))


def _mailbox(rng: Random) -> str:
    """An address of the company, not always the main one."""
    chance, person = rng.random(), _person(rng.random())
    if chance < 0.88:
        return person.mail
    if chance < 0.93:
        return person.aliases[-1]
    if chance < 0.95:
        return person.mail.title()
    if chance < 0.96:
        return person.mail.replace("@", "+orders@")
    return SHARED_ADDRESSES[int((chance - 0.96) * 25 * len(SHARED_ADDRESSES))]


def _person(chance: float) -> Person:
    return PEOPLE[int(chance * chance * len(PEOPLE))]  # some people get far more mail than others
