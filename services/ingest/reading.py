"""This file reads our own order from JSON, alone or in the envelope of a Standard Webhook."""

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from services.ingest.body import Envelope, OrderBody
from services.ingest.faults import Contradiction, Fault, NotJson, misshapen
from services.ingest.normalise import Receipt, normalise
from shared import strict_json
from shared.domain.order import Order, OrderStatus

ORDER_TOPICS = ("order", "return", "credit")
"""What the first part of an envelope's type may be."""
DELETED = ("order.deleted", "return.deleted", "credit.deleted")
"""An order that is gone upstream counts as cancelled here."""

_ORDER = TypeAdapter(OrderBody)
_ENVELOPE = TypeAdapter(Envelope)


def read_order(raw: bytes, receipt: Receipt) -> Order:
    """Read an order that stands alone. Raises Contradiction."""
    value = _value(raw)
    try:
        body = _ORDER.validate_python(value)
    except ValidationError as error:
        raise misshapen(error) from None
    return normalise(body, receipt)


def read_envelope(raw: bytes, receipt: Receipt) -> Order:
    """Read an order in `{"type", "timestamp", "data"}`. Raises Contradiction, pointers counted from the envelope."""
    value = _value(raw)
    try:
        envelope = _ENVELOPE.validate_python(value)
    except ValidationError as error:
        raise misshapen(error) from None
    topic = envelope.type.strip().lower()
    if topic.partition(".")[0] not in ORDER_TOPICS:
        raise Contradiction([Fault(f"the topic {topic!r} is not about an order", ("type",))])
    sent_at = envelope.timestamp
    if sent_at is not None and sent_at.tzinfo is None:
        sent_at = sent_at.replace(tzinfo=receipt.zone)
    try:
        order = normalise(envelope.data, replace(receipt, envelope_at=sent_at))
    except Contradiction as contradiction:
        raise contradiction.within(("data",)) from None
    return replace(order, status=OrderStatus.CANCELLED) if topic in DELETED else order


def _value(raw: bytes) -> object:
    try:
        return strict_json.loads(raw)
    except strict_json.JsonFault as fault:
        raise NotJson([Fault(f"not usable as JSON: {fault}")]) from None
