"""The records of the demo: six days of ordinary mail with each kind of threat and broken record."""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from tests.simulator.files import File
from tests.simulator.mails import Record, mail_rows, padded_details, record
from tests.simulator.people import DOMAIN, PEOPLE
from tests.simulator.rows import ALWAYS, Row, date_text, seeded

_SEED = 20
_HOUR = 3600
_ORDINARY_MAILS = 1_000
_ORDINARY_HOURS = 143
_PDF, _ZIP, _HTML = "application/pdf", "application/zip", "text/html"
_WORD = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_SHEET = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

# Attackers choose file names: each of these is harmful if it is shown unescaped.
_HOSTILE_NAMES = (
    "\x1b[2J\x1b[31mAll clear.pdf",  # rewrites a terminal
    "<img src=x onerror=alert(1)>.html",  # runs in a web page
    "=cmd|' /C calc'!A0.xlsx",  # runs in a spreadsheet
    "Payslip\u202efdp.exe",  # right-to-left override: ends in "exe.pdf" on the screen
    "[reset your password](https://phish.test) | x | .md",  # a link and a table in Markdown
    "x'); DROP TABLE alerts; --.doc",
)


class _Delivery(NamedTuple):
    """One scan of the story."""

    hours: float  # before the anchor
    file: File
    sender: str
    recipient: str
    subject: str
    verdict: str
    action: str = "none, none"
    route: str = "inbound"


def demo_rows(anchor: int) -> Iterator[Row]:
    """A pure function of `anchor` (epoch seconds); every row lies before it."""
    yield from _ordinary(anchor)
    for part in (_campaign, _found_late, _macros_delivered, _undecided, _hostile_names, _special_cases):
        for delivery in part():
            yield _row(anchor, delivery)
    yield from _not_understood(anchor)


def _ordinary(anchor: int) -> Iterator[Row]:
    """Harmless scans, and a few of them delivered twice."""
    rng = seeded(_SEED, "demo")
    harmless = {"result": "safe", "actionTriggered": "none, none", "details": padded_details("safe", 3)}
    for number in range(_ORDINARY_MAILS):
        when = anchor - 1800 - int(rng.random() * _ORDINARY_HOURS * _HOUR)
        rows = [Row(when, ALWAYS, row.record | harmless) for row in mail_rows(rng, _SEED, when)]
        yield from rows if number % 150 else [*rows, rows[0]]


def _campaign() -> Iterator[_Delivery]:
    """One invoice to 25 people in two hours: safe at first, some released later; the file was seen before."""
    file, subject = _file("Invoice_88213.html", _HTML), "Overdue invoice 88213"
    senders = ("billing@fabrikam-invoices.test", "accounts@fabrikam-pay.test", "ar@fabrikam-due.test")
    for place, person in enumerate(PEOPLE[40:42]):
        yield _Delivery(118 - place / 2, file, senders[2], person.mail, subject, "malicious", "hold, none")
    for place, person in enumerate(PEOPLE[:3]):
        yield _Delivery(31.9 - place / 60, file, senders[0], person.mail, subject, "safe")
    for place, person in enumerate(PEOPLE[3:28]):
        action = "user release, none" if place % 6 == 5 else "hold, none"
        hours, sender = 31.5 - place * 2 / 25, senders[place % 3]
        yield _Delivery(hours, file, sender, person.mail, subject, "malicious", action)


def _found_late() -> Iterator[_Delivery]:
    """A price list is found to be malicious after days: its earlier recipients are exposed."""
    file, sender, subject = _file("Price list spring.xlsx", _SHEET), "sales@wingtip.test", "New prices"
    for place, person in enumerate(PEOPLE[60:68]):
        yield _Delivery(104 - place * 5, file, sender, person.mail, subject, "safe")
    for place, address in enumerate((PEOPLE[70].mail, f"sales-emea@{DOMAIN}")):
        yield _Delivery(19 - place, file, sender, address, subject, "malicious", "hold, notify")


def _macros_delivered() -> Iterator[_Delivery]:
    """An application with macros reached three mailboxes, and was forwarded from one of them."""
    file, sender = _file("Bewerbung Lindqvist.docx", _WORD), "a.lindqvist@example.org"
    for address in (f"careers@{DOMAIN}", PEOPLE[90].mail, PEOPLE[91].aliases[0]):
        yield _Delivery(52.25, file, sender, address, "Bewerbung", "unsafe")
    passed_on = ("FW: Bewerbung", "unsafe", "none, none", "internal")
    yield _Delivery(49, file, PEOPLE[90].mail, PEOPLE[95].mail, *passed_on)


def _undecided() -> Iterator[_Delivery]:
    """No verdict, or an unknown one."""
    verdicts = ("timeout", "timeout", "error", "unknown", "unknown", "suspicious macro")
    for place, verdict in enumerate(verdicts):
        file = _file(f"Site plans part {place + 1}.zip", _ZIP)
        action = "detain, escalate" if verdict == "suspicious macro" else "none, none"
        local, _, domain = PEOPLE[120 + place].mail.partition("@")
        recipient = f"{local}+plans@{domain}" if place % 2 else f"{local}@{domain}"
        yield _Delivery(86 - place * 11, file, "plans@litware.example", recipient, "Site plans", verdict, action)


def _hostile_names() -> Iterator[_Delivery]:
    for place, name in enumerate(_HOSTILE_NAMES):
        recipient = PEOPLE[200 + place].mail
        file, sender = _file(name, _PDF), "noreply@proseware.test"
        yield _Delivery(70 - place * 9, file, sender, recipient, name, "malicious", "hold, none")


def _special_cases() -> Iterator[_Delivery]:
    """An outside recipient, a null sender, a record without a hash."""
    order, buyer = _file("Order.zip", _ZIP), "buyer@northwind.example"
    yield _Delivery(9, order, PEOPLE[150].mail, buyer, "Order", "malicious", "block, none", "outbound")
    returned = _file("returned.pdf", _PDF)
    yield _Delivery(6, returned, "<>", f"info@{DOMAIN}", "Undeliverable: documents", "unsafe")
    scan = _file("scan0001.pdf", _PDF)._replace(sha256="")
    yield _Delivery(3, scan, "archive@adatum.example", PEOPLE[210].mail, "Scan", "malicious", "hold, none")


def _not_understood(anchor: int) -> Iterator[Row]:
    """Records that become rejects."""
    minutes = _Delivery(0, _file("minutes.pdf", _PDF), "hr@adatum.example", PEOPLE[5].mail, "Minutes", "safe")
    good = _row(anchor, minutes).record
    for hours, wrong in (
        # Not at a full hour, which may be the midnight at which two slices meet: both would count it.
        (60.3, good | {"date": "17/11 20:16"}),
        (40.3, good | {"fileName": ["minutes.pdf", "agenda.pdf"]}),
        (25.3, "scheduled maintenance"),
    ):
        yield Row(anchor - int(hours * _HOUR), ALWAYS, wrong)


def _row(anchor: int, delivery: _Delivery) -> Row:
    when = anchor - int(delivery.hours * _HOUR)
    mail: Record = {
        "senderAddress": delivery.sender,
        "route": delivery.route,
        "date": date_text(when),
        "messageId": f"<{when}.{len(delivery.subject)}@{delivery.sender.partition('@')[2] or DOMAIN}>",
        "subject": delivery.subject,
        "definition": f"Default {delivery.route.capitalize()} Attachment Protect Definition",
    }
    details = padded_details(delivery.verdict, 47)
    scan = {"result": delivery.verdict, "actionTriggered": delivery.action, "details": details}
    return Row(when, ALWAYS, record(mail, delivery.file, scan, delivery.recipient))


def _file(name: str, mime_type: str) -> File:
    return File(-1, name, mime_type, hashlib.sha256(f"demo:{name}".encode()).hexdigest(), "safe")
