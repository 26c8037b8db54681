"""The API's entry point for facts that are not orders: price agreements, contacts with customers, holds on them.

They are written by the statements that imports of the same names use; all rows of a request come in, or none.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
from apiflask import APIFlask
from flask import Response, request
from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator
from pydantic_core import PydanticCustomError
from sqlalchemy import Connection, text
from werkzeug.exceptions import UnsupportedMediaType

from services.ingest.body import Body, Currency, Id, MaybeId, Moment, Number, Words, parse
from services.ingest.hooks import IngestService, status_of
from services.ingest.imports.entities import ENTITIES, POSTGRES_TYPES, Entity
from services.ingest.source import InvalidOrder
from shared.bearer import require_scope
from shared.faults import Fault, fault_at
from shared.problems import Problem
from shared.tokens import ApiToken, FindToken

FIRST_DAY, LAST_DAY = date(1990, 1, 1), date(2199, 12, 31)
MOST_ROWS = 10_000
LEAST_PRICE = Decimal("0.0001")
"""The column rounds what is less to nothing."""


def _day(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()):
        raise PydanticCustomError("day", "write a day as 2026-01-31")
    return value.strip()


Day = Annotated[date, BeforeValidator(_day), Field(ge=FIRST_DAY, le=LAST_DAY)]


class FactBody(Body):
    """What rows of every kind have in common: blank says nothing, unknown names are refused, days are in order."""

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _blank_is_absent(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        return {
            name: None if isinstance(each, str) and not each.strip() else each for name, each in value.items()
        }

    def _refuse(self, *complaints: str) -> None:
        if complaints:
            raise PydanticCustomError("contradiction", "{reason}", {"reason": "; ".join(complaints)})


def _out_of_order(first: date | None, last: date | None) -> Iterator[str]:
    if first is not None and last is not None and last < first:
        yield "valid_to is before valid_from"


class PriceAgreementBody(FactBody):
    """A price agreed with one customer or a segment, for one product or a category."""

    customer_id: MaybeId | None = None
    segment: Words | None = None
    """Every customer of it, instead of `customer_id`."""
    product_id: MaybeId | None = None
    category: Words | None = None
    """Every product of it, instead of `product_id`."""
    unit_price: Annotated[Number, Field(ge=LEAST_PRICE)]
    """For one base unit, net."""
    currency: Currency | None = None
    """Absent: the company's base currency."""
    valid_from: Day | None = None
    """Absent: always."""
    valid_to: Day | None = None
    """The last day; absent: what is held stays, at first until further notice."""

    @model_validator(mode="after")
    def _makes_sense(self) -> "PriceAgreementBody":
        """Refuse an agreement with nobody or with two, about nothing or about two."""
        complaints = list(_out_of_order(self.valid_from, self.valid_to))
        for one, other in ENTITIES["price-agreements"].either_or:
            said = [getattr(self, name) is not None for name in (one, other)]
            if not any(said):
                complaints.append(f"{one} or {other} is missing")
            elif all(said):
                complaints.append(f"{one} and {other} exclude each other")
        self._refuse(*complaints)
        return self


class ContactBody(FactBody):
    """Somebody spoke with, wrote to or visited a customer."""

    id: Id
    """Upstream's own: a contact sent again is brought up to date."""
    customer_id: Id
    at: Moment
    """Without an offset it is read in the company's zone."""
    channel: Words | None = None
    """phone, mail, visit ..."""
    by: Words | None = None
    result: Words | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "ContactBody":
        if not FIRST_DAY <= self.at.date() <= LAST_DAY:
            self._refuse(f"at is not between {FIRST_DAY.year} and {LAST_DAY.year}")
        return self


class HoldBody(FactBody):
    """A reason to sell nothing to a customer for a while."""

    customer_id: Id
    kind: Literal["credit_hold", "complaint", "other"]
    valid_from: Day
    valid_to: Day | None = None
    """The last day; absent: what is held stays, at first open."""
    reference: MaybeId | None = None
    """Tells holds of one kind that began on one day apart."""
    note: Words | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "HoldBody":
        self._refuse(*_out_of_order(self.valid_from, self.valid_to))
        return self


class _Facts(Body):
    """What every request says."""

    kind: Literal["price-agreements", "contacts", "holds"]


class PriceAgreementsBody(_Facts):
    """Price agreements."""

    kind: Literal["price-agreements"]
    rows: Annotated[list[PriceAgreementBody], Field(min_length=1, max_length=MOST_ROWS)]


class ContactsBody(_Facts):
    """Contacts with customers."""

    kind: Literal["contacts"]
    rows: Annotated[list[ContactBody], Field(min_length=1, max_length=MOST_ROWS)]


class HoldsBody(_Facts):
    """Holds on customers."""

    kind: Literal["holds"]
    rows: Annotated[list[HoldBody], Field(min_length=1, max_length=MOST_ROWS)]


BODIES: Mapping[str, type[PriceAgreementsBody | ContactsBody | HoldsBody]] = {
    "price-agreements": PriceAgreementsBody,
    "contacts": ContactsBody,
    "holds": HoldsBody,
}
"""What is sent of each kind: its rows have the columns of the entity of that name."""

_KIND = TypeAdapter(_Facts)
_READERS: Mapping[str, TypeAdapter[Any]] = {kind: TypeAdapter(body) for kind, body in BODIES.items()}


def _staged(entity: Entity) -> str:
    columns = ", ".join(f'"{each.name}" {POSTGRES_TYPES.get(each.kind, "text")}' for each in entity.columns)
    rows = f"json_to_recordset(CAST(:rows AS json)) AS sent (row_no bigint, {columns})"
    return f"WITH staged AS (SELECT * FROM {rows})"  # noqa: S608 - our own columns


_WRITES = {
    kind: [text(f"{_staged(ENTITIES[kind])} {statement}") for statement in ENTITIES[kind].write]
    for kind in BODIES
}
_UNKNOWN = {
    "customers": text(
        "SELECT name FROM unnest(CAST(:names AS text[])) AS asked (name)"
        " WHERE NOT EXISTS (SELECT FROM customer_ref WHERE source = :source AND external_id = name)"
    ),
    "products": text(
        "SELECT name FROM unnest(CAST(:names AS text[])) AS asked (name)"
        " WHERE NOT EXISTS (SELECT FROM product_ref WHERE source = :source AND external_id = name)"
    ),
}
"""Which names of a source are nobody's, by what they name."""

Row = dict[str, Any]


def add(app: APIFlask, service: IngestService, find_token: FindToken) -> None:
    """Add the entry point to a service."""

    @app.post("/v1/facts")
    @app.doc(
        summary="Send facts that are not orders",
        tags=["facts"],
        security="ApiToken",
        responses=[200, 400, 401, 403, 413, 415, 422],
    )
    @require_scope("facts:write", find_token)
    def facts(token: ApiToken) -> Response:
        """Take price agreements, contacts or holds: all rows, or none. What is held is brought up to date."""
        source = token.source or token.name
        if request.mimetype != "application/json":
            raise UnsupportedMediaType("Send application/json.")
        raw = request.get_data(cache=False)
        try:
            kind = parse(_KIND, raw).kind
            sent = parse(_READERS[kind], raw)
        except InvalidOrder as invalid:
            raise _refused(invalid.faults, status_of(invalid)) from None
        rows = [_row(number, each, service) for number, each in enumerate(sent.rows)]
        with service.database.transaction() as connection:
            faults = [
                *_repeated(ENTITIES[kind], rows, service.currency),
                *_unknown(connection, ENTITIES[kind], rows, source),
            ]
            if faults:
                raise _refused(faults, 422)
            told = {"source": source, "base_currency": service.currency}
            for statement in _WRITES[kind]:
                wanted = {name: value for name, value in told.items() if f":{name}" in statement.text}
                connection.execute(statement, wanted | {"rows": msgspec.json.encode(rows).decode()})
        return Response(
            msgspec.json.encode({"kind": kind, "rows": len(rows)}), content_type="application/json"
        )


def _refused(faults: Sequence[Fault], status: int) -> Problem:
    return Problem(status, "The facts cannot be taken as they stand; nothing was stored.", faults=faults)


def _row(number: int, sent: FactBody, service: IngestService) -> Row:
    row = {"row_no": number, **sent.model_dump()}
    at = row.get("at")
    if isinstance(at, datetime) and at.tzinfo is None:
        row["at"] = at.replace(tzinfo=service.zone)
    return row


def _repeated(entity: Entity, rows: Sequence[Row], base_currency: str) -> Iterator[Fault]:
    """Refuse a row that says the same thing anew: which of them holds, nobody could tell."""
    assumed: Row = {"currency": base_currency, "valid_from": FIRST_DAY}
    seen: set[tuple[Any, ...]] = set()
    for row in rows:
        key = tuple(assumed.get(name) if row[name] is None else row[name] for name in entity.key)
        if key in seen:
            yield fault_at(
                f"the same {' and '.join(entity.key)} stands in an earlier row", "rows", row["row_no"]
            )
        seen.add(key)


def _unknown(connection: Connection, entity: Entity, rows: Sequence[Row], source: str) -> Iterator[Fault]:
    """Refuse a row that refers to what this source never named."""
    for column in entity.columns:
        if column.refers_to is None:
            continue
        named = {row[column.name] for row in rows} - {None}
        asked = {"names": sorted(named), "source": source}
        unknown = set(connection.scalars(_UNKNOWN[column.refers_to], asked))
        for row in rows:
            if row[column.name] in unknown:
                yield fault_at(f"“{row[column.name]}” is not known", "rows", row["row_no"], column.name)
