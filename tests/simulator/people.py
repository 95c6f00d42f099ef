"""The fictitious company whose mail is scanned: the same few hundred people in every simulated world.

Names and domains are reserved or made up. Sample directory exports are made from this same list, so that the
recipients of simulated mail are found in them.
"""

from dataclasses import dataclass

DOMAIN = "contoso.example"
FORMER_DOMAIN = "contoso-legacy.example"  # from before a merger: its addresses still work, as in most companies

_GIVEN_NAMES = (
    "Ada", "Amir", "Bea", "Björn", "Chloé", "Dana", "Elif", "Femi", "Grace", "Hana", "Igor", "Jun",
    "Kofi", "Lena", "Marta", "Nils", "Olga", "Priya", "Ravi", "Søren", "Tara", "Uma", "Víctor", "Yara",
)  # fmt: skip
_FAMILY_NAMES = (
    "Adeyemi", "Brandt", "Castillo", "D'Arcy", "Eriksen", "Fischer", "García", "Haddad", "Ivanova", "Jensen",
    "Kowalski", "Lindqvist", "Müller", "Nakamura", "O'Brien", "Petrov",
)  # fmt: skip
_DEPARTMENTS = ("Finance", "Sales", "Engineering", "Human Resources", "Legal", "Operations", "Service Desk")
_SPELLED_OUT = str.maketrans({"ö": "oe", "ü": "ue", "ø": "oe", "é": "e", "í": "i", "'": "", " ": "-"})

SHARED_MAILBOXES = ("accounts", "careers", "info", "invoices", "servicedesk")
MAIL_GROUPS = ("all-staff", "board", "engineering", "sales-emea")


@dataclass(frozen=True)
class Person:
    """One employee; `aliases` are further addresses that reach the same mailbox."""

    number: int
    given_name: str
    family_name: str
    department: str
    mail: str
    upn: str
    aliases: tuple[str, ...]

    @property
    def display_name(self) -> str:
        return f"{self.given_name} {self.family_name}"


def _person(number: int, given: str, family: str) -> Person:
    first, last = (name.lower().translate(_SPELLED_OUT) for name in (given, family))
    mail = f"{first}.{last}@{DOMAIN}"
    aliases = [f"{first[0]}{last}{number}@{DOMAIN}"]
    if number % 3 == 0:
        aliases.append(f"{first}.{last}@{FORMER_DOMAIN}")
    upn = f"u{10_000 + number}@{DOMAIN}" if number % 4 == 0 else mail  # sign-in names often differ from the address
    return Person(number, given, family, _DEPARTMENTS[number % len(_DEPARTMENTS)], mail, upn, tuple(aliases))


PEOPLE: tuple[Person, ...] = tuple(
    _person(number, given, family)
    for number, (given, family) in enumerate((g, f) for f in _FAMILY_NAMES for g in _GIVEN_NAMES)
)
SHARED_ADDRESSES: tuple[str, ...] = tuple(f"{name}@{DOMAIN}" for name in SHARED_MAILBOXES + MAIL_GROUPS)
