"""Our own order in JSON: read it alone, or in the envelope of a Standard Webhook."""

from msgspec.structs import replace
from pydantic import TypeAdapter, ValidationError

from services.ingest.body import Envelope, OrderBody
from services.ingest.faults import Fault, InvalidOrder, NotJson, invalid_shape
from services.ingest.normalise import ReadContext, normalise
from shared import strict_json
from shared.domain.order import Order, OrderStatus

ORDER_TOPICS = ("order", "return", "credit")
"""What the first part of an envelope's type may be."""
DELETED = ("order.deleted", "return.deleted", "credit.deleted")
"""An order that is gone upstream counts as cancelled here."""

_ORDER = TypeAdapter(OrderBody)
_ENVELOPE = TypeAdapter(Envelope)


def read_order(raw: bytes, context: ReadContext) -> Order:
    """Read an order that stands alone. Raises InvalidOrder."""
    value = _value(raw)
    try:
        body = _ORDER.validate_python(value)
    except ValidationError as error:
        raise invalid_shape(error) from None
    return normalise(body, context)


def read_envelope(raw: bytes, context: ReadContext) -> Order:
    """Read an order in `{"type", "timestamp", "data"}`. Raises InvalidOrder, pointers counted from the envelope."""
    value = _value(raw)
    try:
        envelope = _ENVELOPE.validate_python(value)
    except ValidationError as error:
        raise invalid_shape(error) from None
    topic = envelope.type.strip().lower()
    if topic.partition(".")[0] not in ORDER_TOPICS:
        raise InvalidOrder([Fault(f"the topic {topic!r} is not about an order", ("type",))])
    sent_at = envelope.timestamp
    if sent_at is not None and sent_at.tzinfo is None:
        sent_at = sent_at.replace(tzinfo=context.zone)
    try:
        order = normalise(envelope.data, replace(context, envelope_at=sent_at))
    except InvalidOrder as invalid:
        raise invalid.within(("data",)) from None
    return replace(order, status=OrderStatus.CANCELLED) if topic in DELETED else order


def _value(raw: bytes) -> object:
    try:
        return strict_json.loads(raw)
    except strict_json.JsonFault as fault:
        raise NotJson([Fault(f"not usable as JSON: {fault}")]) from None
