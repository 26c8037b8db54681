"""Orders as NDJSON: any number in one request, each answered on a line of its own.

The server has received the whole request, on disk where it is long, before this begins. A batch is read, stored and
answered before the next is read, so memory stays flat. A bad line spoils nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from flask import Response, request

from services.ingest.hooks import OUTCOME, STATUS, IngestService, status_of
from services.ingest.normalise import read_order
from services.ingest.source import InvalidOrder
from services.ingest.store import Comparison, Event, OrderRevision, Stored, conflict, prepare
from services.ingest.store_many import store_many
from shared.db import DATABASE_ERRORS
from shared.faults import Fault
from shared.problems import is_retryable
from shared.web import BULK_MEDIA_TYPE, LARGEST_BODY, accept_any_length

MEDIA_TYPE = BULK_MEDIA_TYPE
ENTRY_POINT = "api"
BATCH_LINES = 200
BATCH_BYTES = 1024 * 1024
BLOCK = 64 * 1024

Result = dict[str, object]


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A line of the request, counted from 1. None is one too long to be read."""

    number: int
    text: bytes | None


def take(service: IngestService, source: str) -> Response:
    """Answer the request at hand line by line."""
    accept_any_length()
    results = (
        msgspec.json.encode(result) + b"\n"
        for batch in batches(numbered_lines(request.stream.read))
        for result in store_lines(service, source, batch)
    )
    return Response(results, content_type=MEDIA_TYPE)


def numbered_lines(read: Callable[[int], bytes]) -> Iterator[NumberedLine]:
    """Split a stream into its lines that are not blank, reading it in blocks."""
    number, rest, is_skipping = 0, b"", False
    while block := read(BLOCK):
        *lines, rest = (rest + block).split(b"\n")
        for line in lines:
            number += 1
            if is_skipping or len(line) > LARGEST_BODY:
                yield NumberedLine(number, None)
            elif line.strip():
                yield NumberedLine(number, line)
            is_skipping = False
        if len(rest) > LARGEST_BODY:
            is_skipping, rest = True, b""
    if is_skipping or rest.strip():
        yield NumberedLine(number + 1, None if is_skipping else rest)


def batches(lines: Iterator[NumberedLine]) -> Iterator[list[NumberedLine]]:
    """Group lines into batches bounded in number and bytes."""
    batch: list[NumberedLine] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.text or b"")
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def store_lines(service: IngestService, source: str, batch: Sequence[NumberedLine]) -> list[Result]:
    """Read and store a batch; return a result for each line, in order."""
    read: list[OrderRevision | InvalidOrder] = []
    for line in batch:
        try:
            if line.text is None:
                raise InvalidOrder([Fault("the line is longer than 1 MiB")])
            order = read_order(line.text, service.read_context(source))
            read.append(prepare(order, Event(source, ENTRY_POINT, line.text)))
        except InvalidOrder as invalid:
            read.append(invalid)
    try:
        stored = iter(
            store_many(service.database, [each for each in read if isinstance(each, OrderRevision)])
        )
    except DATABASE_ERRORS as error:
        if not is_retryable(error):
            raise
        return [
            _problem(line.number, 503, "The database does not answer; send the line again.") for line in batch
        ]
    return [
        _stored(service, line.number, each, next(stored))
        if isinstance(each, OrderRevision)
        else _refused(service, source, line, each)
        for line, each in zip(batch, read, strict=True)
    ]


def _stored(service: IngestService, number: int, new: OrderRevision, stored: Stored) -> Result:
    service.count_stored(new.order.source, ENTRY_POINT, stored)
    if stored.comparison is Comparison.CONFLICT:
        return _problem(number, 409, conflict(new.order).detail + ".")
    outcome = OUTCOME[stored.comparison]
    return {"line": number, "status": STATUS[stored.comparison], "outcome": outcome, "id": stored.event_id}


def _refused(service: IngestService, source: str, line: NumberedLine, invalid: InvalidOrder) -> Result:
    service.count(source, ENTRY_POINT, "refused")
    if line.text is None:
        return _problem(line.number, 413, "A line may have 1 MiB.")
    problem = _problem(line.number, status_of(invalid), "The order cannot be taken as it stands.")
    return problem | {"errors": [fault.as_json() for fault in invalid.faults]}


def _problem(number: int, status: int, detail: str) -> Result:
    return {"line": number, "status": status, "title": HTTPStatus(status).phrase, "detail": detail}
