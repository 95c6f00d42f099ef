"""The attachments in circulation: an endless catalogue in which low numbers are very common (Zipf)."""

import hashlib
from functools import lru_cache
from typing import NamedTuple

CATALOGUE_SIZE = 2_000_000
_EXPONENT = 1.1
# Logos, signature images, the company's own templates: the most common files are never dangerous.
_HARMLESS = 32

_KINDS = (
    (".pdf", "application/pdf"),
    (".docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
    (".xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"),
    (".png", "image/png"),
    (".zip", "application/zip"),
    (".html", "text/html"),
    (".doc", "text/rtf"),  # the vendor's type follows the content, which may disagree with the name
    (".pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"),
)
_TITLES = (
    "Invoice", "Statement", "Purchase order", "Quote", "Contract", "Minutes", "Résumé", "Offer letter",
    "Delivery note", "Scan", "Report", "Price list", "Timesheet", "Remittance advice", "Rechnung", "見積書",
)  # fmt: skip
# Verdicts of the files that are not harmless, in per mille; with the share of harmless ones about 80 % of
# all scans are safe.
_VERDICTS = (
    ("malicious", 60), ("unsafe", 60), ("unknown", 60), ("clean", 45), ("turncoat", 25), ("safe", 750),
)  # fmt: skip


class File(NamedTuple):
    number: int
    name: str
    mime_type: str
    sha256: str
    verdict: str  # "turncoat": safe on most days, malicious once the vendor's verdict has changed

    def verdict_on(self, day: int) -> str:
        if self.verdict != "turncoat":
            return self.verdict
        return "malicious" if (day + self.number) % 4 == 0 else "safe"


def zipf_number(uniform: float) -> int:
    """A file number from a uniform [0, 1) number: 0 is the most frequent."""
    tail = 1 - _EXPONENT
    return int((1 + uniform * (CATALOGUE_SIZE**tail - 1)) ** (1 / tail)) - 1


@lru_cache(maxsize=4096)
def file_number(seed: int, number: int) -> File:
    """Everything about one file, a pure function of world and number."""
    sha256 = hashlib.sha256(f"{seed}:{number}".encode())
    dice = sha256.digest()
    ending, mime_type = _KINDS[dice[0] % len(_KINDS)]
    title = _TITLES[dice[1] % len(_TITLES)]
    verdict = "safe" if number < _HARMLESS else _draw_verdict(int.from_bytes(dice[2:6]) % 1000)
    return File(number, f"{title} {number}{ending}", mime_type, sha256.hexdigest(), verdict)


def _draw_verdict(per_mille: int) -> str:
    for verdict, share in _VERDICTS:
        per_mille -= share
        if per_mille < 0:
            return verdict
    return "safe"
