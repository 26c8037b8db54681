"""The tables, one file per noun. Open sets (kinds, channels, states of the business) are text, never enums."""

from shared.tables import (
    alert,
    control,
    customer,
    event,
    model,
    order,
    people,
    product,
    signal,
    task,
)
from shared.tables.base import metadata

__all__ = [
    "alert",
    "control",
    "customer",
    "event",
    "metadata",
    "model",
    "order",
    "people",
    "product",
    "signal",
    "task",
]
