"""A service's records as rows: the known fields as text, and remarks on a record that is odd."""

from collections.abc import Iterable

import msgspec
import polars as pl

Record = dict[str, str | None]
"""The known fields by name; of an odd record also its `raw`, `problem` and `leftover`."""

REMARKS = ("raw", "problem", "leftover")

_NO_REMARKS = [pl.Series(name, [None], pl.String) for name in REMARKS]
_NOT_TEXT = {ord("{"): "an object", ord("["): "an array"}
_FIELDS_RAW = msgspec.json.Decoder(dict[str, msgspec.Raw])


class RecordReader:
    """Reads records with these fields, each of them an optional text."""

    def __init__(self, fields: tuple[str, ...]) -> None:
        self.fields = fields
        self.schema = dict.fromkeys((*fields, *REMARKS), pl.String)
        self._names = frozenset(fields)
        self._by_lower_case = {name.lower(): name for name in fields}
        self._field_schema = dict.fromkeys(fields, pl.String)

    def typed(self, records: list[Record]) -> list[Record]:
        """Records whose values are of the right types, odd ones with remarks.

        Those with as many names as are known are not looked at one by one: it would cost as much as decoding them.
        """
        known = len(self.fields)
        return [self._with_remarks(record) if len(record) != known else record for record in records]

    def lenient(self, text: bytes) -> Record:
        """A record as JSON, whatever its values are; each that is no text, number or such is a problem of its own."""
        raw = _canonical(text)
        try:
            fields = _FIELDS_RAW.decode(text)
        except msgspec.ValidationError:
            return self._by_known_names({}) | {"raw": raw, "problem": "not an object"}
        usable: Record = {}
        problems = []
        for name, value in fields.items():
            if kind := _NOT_TEXT.get(bytes(value)[0]):
                meant = self._by_lower_case.get(name.lower())
                problems += [f"{meant} is {kind}"] if meant else []
                usable |= {} if meant else {name: None}
            else:
                usable[name] = _as_text(bytes(value))
        problem = ", ".join(problems) or None
        return self._by_known_names(usable) | {"raw": raw, "problem": problem}

    def frame(self, records: list[Record]) -> pl.DataFrame:
        """`schema`: the known fields as text, and the remarks.

        `raw` is the record as sorted JSON, where its keys are not exactly the known ones or it needed care; `problem`
        says why it is no usable record; `leftover` names the unknown keys, comma-separated.
        """
        records = records.copy()
        columns = {name: self._column(records, name) for name in self.fields}
        frame = pl.DataFrame(columns, schema=self._field_schema)
        odd = [place for place, record in enumerate(records) if len(record) != len(self.fields)]
        if not odd:
            return frame.hstack([remark.new_from_index(0, len(records)) for remark in _NO_REMARKS])
        remarks: dict[str, list[str | None]] = {name: [None] * len(records) for name in REMARKS}
        for place in odd:
            for name, remark in remarks.items():
                remark[place] = records[place][name]
        return frame.hstack(pl.DataFrame(remarks, schema=dict.fromkeys(REMARKS, pl.String)).get_columns())

    def stored(self, texts: Iterable[str]) -> pl.DataFrame:
        """Records that were kept as JSON, as `frame` has them."""
        return self.frame([self.lenient(text.encode()) for text in texts])

    def _with_remarks(self, record: Record) -> Record:
        raw = msgspec.json.encode(record, order="sorted").decode()
        return self._by_known_names(record) | {"raw": raw, "problem": None}

    def _by_known_names(self, record: Record) -> Record:
        """The record under the known names, whatever their case; names of the other keys in `leftover`."""
        known: Record = {name: value for name, value in record.items() if name in self._names}
        leftover = []
        for name, value in record.items():
            if name in self._names:
                continue
            meant = self._by_lower_case.get(name.lower())
            if meant is None or meant in known:
                leftover.append(name)
            else:
                known[meant] = value
        return dict.fromkeys(self.fields) | known | {"leftover": ",".join(sorted(leftover)) or None}

    def _column(self, records: list[Record], name: str) -> list[str | None]:
        try:
            return [record[name] for record in records]
        except KeyError:  # a record with as many names, but others; columns that are made already stay as they are
            records[:] = [record if name in record else self._with_remarks(record) for record in records]
            return [record[name] for record in records]


def _as_text(value: bytes) -> str | None:
    if value == b"null":
        return None
    return msgspec.json.decode(value, type=str) if value.startswith(b'"') else value.decode()


def _canonical(text: bytes) -> str:
    try:
        return msgspec.json.encode(msgspec.json.decode(text), order="sorted").decode()
    except msgspec.ValidationError:  # a number too large for any type: then as it came
        return text.decode()
