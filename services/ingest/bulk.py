"""Orders as NDJSON: any number in one request, each answered on a line of its own.

The server has received the whole request, on disk where it is long, before this begins. A batch is read, stored and
answered before the next is read, so memory stays flat. A bad line spoils nothing.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus

import msgspec
from flask import Response, request

from services.ingest.desk import OUTCOME, STATUS, Desk, problem_faults, status_of
from services.ingest.faults import Contradiction, Fault
from services.ingest.reading import read_order
from services.ingest.receive import Verdict
from services.ingest.store import Arrival, Message, Stored, arrival, conflict
from services.ingest.store_many import store_many
from shared.problems import DATABASE_AWAY
from shared.web import BULK_MEDIA_TYPE, LARGEST_BODY, accept_any_length

MEDIA_TYPE = BULK_MEDIA_TYPE
DOOR = "api"
BATCH_LINES = 200
BATCH_BYTES = 1024 * 1024
BLOCK = 64 * 1024

Result = dict[str, object]


@dataclass(frozen=True, slots=True)
class NumberedLine:
    """A line of the request, counted from 1. None is one too long to be read."""

    number: int
    text: bytes | None


def take(desk: Desk, source: str) -> Response:
    """Answer the request at hand line by line."""
    accept_any_length()
    lines = numbered_lines(request.stream.read)
    return Response((_encode(desk, source, batch) for batch in batches(lines)), content_type=MEDIA_TYPE)


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


def _encode(desk: Desk, source: str, batch: Sequence[NumberedLine]) -> bytes:
    return b"".join(msgspec.json.encode(result) + b"\n" for result in store_lines(desk, source, batch))


def store_lines(desk: Desk, source: str, batch: Sequence[NumberedLine]) -> list[Result]:
    """Read and store a batch; return a result for each line, in order."""
    read: list[Arrival | Contradiction] = []
    for line in batch:
        try:
            if line.text is None:
                raise Contradiction([Fault("the line is longer than 1 MiB")])
            order = read_order(line.text, desk.receipt(source))
            read.append(arrival(order, Message(source, DOOR, line.text)))
        except Contradiction as contradiction:
            read.append(contradiction)
    try:
        stored = iter(store_many(desk.database, [each for each in read if isinstance(each, Arrival)]))
    except DATABASE_AWAY:
        return [
            _problem(line.number, 503, "The database does not answer; send the line again.") for line in batch
        ]
    return [
        _stored(desk, line.number, each, next(stored))
        if isinstance(each, Arrival)
        else _refused(desk, source, line, each)
        for line, each in zip(batch, read, strict=True)
    ]


def _stored(desk: Desk, number: int, new: Arrival, stored: Stored) -> Result:
    desk.welcome(new.order.source, DOOR, stored)
    if stored.verdict is Verdict.CONFLICT:
        return _problem(number, 409, conflict(new.order).detail + ".")
    outcome = OUTCOME[stored.verdict]
    return {"line": number, "status": STATUS[stored.verdict], "outcome": outcome, "id": stored.event_id}


def _refused(desk: Desk, source: str, line: NumberedLine, contradiction: Contradiction) -> Result:
    desk.count(source, DOOR, "refused")
    if line.text is None:
        return _problem(line.number, 413, "A line may have 1 MiB.")
    problem = _problem(line.number, status_of(contradiction), "The order cannot be taken as it stands.")
    faults = [
        {"detail": fault.detail, "pointer": fault.pointer} for fault in problem_faults(contradiction.faults)
    ]
    return problem | {"errors": faults}


def _problem(number: int, status: int, detail: str) -> Result:
    return {"line": number, "status": status, "title": HTTPStatus(status).phrase, "detail": detail}
