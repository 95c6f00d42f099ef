"""Reads a service's records into rows: the known fields as text, and remarks on unusual records."""

from collections.abc import Iterable

import msgspec
import polars as pl

from tasks.http.lenient_json import make_shallow

Record = dict[str, str | None]
"""The known fields by name; of an unusual record also `raw`, `problem` and `leftover`."""

REMARKS = ("raw", "problem", "leftover")

_NO_REMARKS = [pl.Series(name, [None], pl.String) for name in REMARKS]
_NOT_TEXT = {ord("{"): "an object", ord("["): "an array"}
_FIELDS_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


class RecordReader:
    """Reads records with these fields, each an optional text."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self.schema = dict.fromkeys((*fields, *REMARKS), pl.String)
        self._names = frozenset(fields)
        self._by_lower_case = {name.lower(): name for name in fields}
        self._field_schema = dict.fromkeys(fields, pl.String)

    def add_remarks(self, records: list[Record]) -> list[Record]:
        """Add remarks to unusual ones of these records, whose values all have the right types.

        Only the number of names is compared: comparing the names would cost as much as decoding. `to_frame` catches
        records with as many, but other names.
        """
        known = len(self.fields)
        return [self._with_remarks(record) if len(record) != known else record for record in records]

    def read_leniently(self, text: bytes) -> Record:
        """Read a record from JSON; a value that is an object or an array becomes a problem of the record."""
        try:
            return self._read_any(text)
        except RecursionError:
            return self._read_any(make_shallow(text))

    def _read_any(self, text: bytes) -> Record:
        raw = _canonical(text)
        try:
            fields = _FIELDS_RAW.decode(text)
        except msgspec.ValidationError:
            return self._by_known_names({}) | {"raw": raw, "problem": "not an object"}
        values: Record = {}
        problems = []
        for name, value in fields.items():
            if kind := _NOT_TEXT.get(bytes(value)[0]):
                field = self._by_lower_case.get(name.lower())
                problems += [f"{field} is {kind}"] if field else []
                values |= {} if field else {name: None}
            else:
                values[name] = _as_text(bytes(value))
        problem = ", ".join(problems) or None
        return self._by_known_names(values) | {"raw": raw, "problem": problem}

    def to_frame(self, records: list[Record]) -> pl.DataFrame:
        """The known fields as text, and the remarks, as in `schema`.

        `raw`: the record as sorted JSON, if its keys are not exactly the known ones or a value has another type.
        `problem`: why the record is rejected. `leftover`: unknown keys, separated by commas.
        """
        records = records.copy()
        columns = {name: self._column(records, name) for name in self.fields}
        frame = pl.DataFrame(columns, schema=self._field_schema)
        unusual = [number for number, record in enumerate(records) if len(record) != len(self.fields)]
        if not unusual:
            return frame.hstack([remark.new_from_index(0, len(records)) for remark in _NO_REMARKS])
        remarks: dict[str, list[str | None]] = {name: [None] * len(records) for name in REMARKS}
        for number in unusual:
            for name, remark in remarks.items():
                remark[number] = records[number][name]
        return frame.hstack(pl.DataFrame(remarks, schema=dict.fromkeys(REMARKS, pl.String)).get_columns())

    def read_stored(self, texts: Iterable[str]) -> pl.DataFrame:
        """Read records that are stored as JSON into a frame like that of `to_frame`."""
        return self.to_frame([self.read_leniently(text.encode()) for text in texts])

    def _with_remarks(self, record: Record) -> Record:
        raw = msgspec.json.encode(record, order="sorted").decode()
        return self._by_known_names(record) | {"raw": raw, "problem": None}

    def _by_known_names(self, record: Record) -> Record:
        """The record by the known names, ignoring case; other keys are listed in `leftover`."""
        known: Record = {name: value for name, value in record.items() if name in self._names}
        leftover = []
        for name, value in record.items():
            if name in self._names:
                continue
            field = self._by_lower_case.get(name.lower())
            if field is None or field in known:
                leftover.append(name)
            else:
                known[field] = value
        return dict.fromkeys(self.fields) | known | {"leftover": ",".join(sorted(leftover)) or None}

    def _column(self, records: list[Record], name: str) -> list[str | None]:
        try:
            return [record[name] for record in records]
        except KeyError:  # a record with as many, but other names; columns that were built before are not affected
            records[:] = [record if name in record else self._with_remarks(record) for record in records]
            return [record[name] for record in records]


def _as_text(value: bytes) -> str | None:
    if value == b"null":
        return None
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode()


def _canonical(text: bytes) -> str:
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.ValidationError:  # a number that is too large for any type
        return text.decode()
