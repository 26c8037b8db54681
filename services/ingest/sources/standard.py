"""Standard: any sender that signs as Standard Webhooks asks and sends our own order as the envelope's data."""

from typing import Annotated

from msgspec.structs import replace
from pydantic import BaseModel, ConfigDict, StringConstraints, TypeAdapter

from services.ingest.body import Moment, OrderBody, parse
from services.ingest.normalise import normalise
from services.ingest.source import InvalidOrder, ReadContext, Source
from shared.domain.order import Order, OrderStatus
from shared.faults import fault_at
from shared.signing import verify

ORDER_TOPICS = ("order", "return", "credit")
"""What the first part of an envelope's type may be."""
DELETED = ("order.deleted", "return.deleted", "credit.deleted")
"""An order that is gone upstream counts as cancelled here."""


class Envelope(BaseModel):
    """The envelope of a Standard Webhook."""

    model_config = ConfigDict(extra="ignore", use_attribute_docstrings=True)

    type: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    """The topic: order.created, order.updated, order.deleted (cancels it) ...; no other object's."""
    timestamp: Moment | None = None
    data: OrderBody


_ENVELOPE = TypeAdapter(Envelope)


def read_envelope(raw: bytes, context: ReadContext) -> Order:
    """Read an order in `{"type", "timestamp", "data"}`. Raises InvalidOrder, pointers counted from the envelope."""
    envelope = parse(_ENVELOPE, raw)
    topic = envelope.type.strip().lower()
    if topic.partition(".")[0] not in ORDER_TOPICS:
        raise InvalidOrder([fault_at(f"the topic {topic!r} is not about an order", "type")])
    sent_at = envelope.timestamp
    if sent_at is not None and sent_at.tzinfo is None:
        sent_at = sent_at.replace(tzinfo=context.zone)
    try:
        order = normalise(envelope.data, replace(context, envelope_at=sent_at))
    except InvalidOrder as invalid:
        raise invalid.within("data") from None
    return replace(order, status=OrderStatus.CANCELLED) if topic in DELETED else order


SOURCE = Source("standard", verify=verify, read=read_envelope, body=Envelope)
