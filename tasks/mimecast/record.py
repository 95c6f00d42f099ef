"""One record of the service under the names that we know, and what is remarked of an odd one."""

import msgspec

RECORD_FIELDS = (
    "senderAddress",
    "recipientAddress",
    "fileName",
    "fileType",
    "fileHash",
    "result",
    "actionTriggered",
    "date",
    "details",
    "route",
    "messageId",
    "subject",
    "definition",
)
Record = dict[str, str | None]
"""The vendor's fields by name; of an odd one also its `raw`, `problem` and `leftover`."""

_FIELDS = frozenset(RECORD_FIELDS)
KNOWN = len(_FIELDS)
"""Names of a record that is not odd: a longer or shorter one is."""
_BY_LOWER_CASE = {name.lower(): name for name in RECORD_FIELDS}
_NOT_TEXT = {ord("{"): "an object", ord("["): "an array"}
_FIELDS_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def noticed(records: list[Record]) -> list[Record]:
    """The records of a page, odd ones with remarks.

    Those with all 13 names and no other are not looked at one by one: it would cost as much as decoding them.
    """
    return [noted(record) if len(record) != KNOWN else record for record in records]


def noted(record: Record) -> Record:
    """An odd record whose values are of the right types."""
    raw = msgspec.json.encode(record, order="sorted").decode()
    return _by_known_names(record) | {"raw": raw, "problem": None}


def _by_known_names(record: Record) -> Record:
    """The record under the names we know, whatever their case; names of the other keys in `leftover`."""
    known: Record = {name: value for name, value in record.items() if name in _FIELDS}
    leftover = []
    for name, value in record.items():
        if name in _FIELDS:
            continue
        meant = _BY_LOWER_CASE.get(name.lower())
        if meant is None or meant in known:
            leftover.append(name)
        else:
            known[meant] = value
    return dict.fromkeys(RECORD_FIELDS) | known | {"leftover": ",".join(sorted(leftover)) or None}


def with_care(text: bytes) -> Record:
    """A record as JSON, whatever its values are; each that is no text, number or such is a problem of its own."""
    raw = _canonical(text)
    try:
        fields = _FIELDS_RAW.decode(text)
    except msgspec.ValidationError:
        return _by_known_names({}) | {"raw": raw, "problem": "not an object"}
    usable: Record = {}
    problems = []
    for name, value in fields.items():
        if kind := _NOT_TEXT.get(bytes(value)[0]):
            meant = _BY_LOWER_CASE.get(name.lower())
            problems += [f"{meant} is {kind}"] if meant else []
            usable |= {} if meant else {name: None}
        else:
            usable[name] = _as_text(bytes(value))
    problem = ", ".join(problems) or None
    return _by_known_names(usable) | {"raw": raw, "problem": problem}


def _as_text(value: bytes) -> str | None:
    if value == b"null":
        return None
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode()


def _canonical(text: bytes) -> str:
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.ValidationError:  # a number too large for any type: then as it came
        return text.decode()
