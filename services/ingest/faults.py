"""Faults of an order, each with a pointer into the body it came in."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

Path = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, in words for the sender, and where: the path of names and positions from the body's top."""

    detail: str
    path: Path = ()

    def as_json(self) -> dict[str, str]:
        """Return the fault with a JSON pointer (RFC 6901) as a fragment: #/lines/0/sku."""
        parts = (str(part).replace("~", "~0").replace("/", "~1") for part in self.path)
        return {"detail": self.detail, "pointer": "#" + "".join(f"/{part}" for part in parts)}


class InvalidOrder(ValueError):
    """An order that cannot be taken as it stands, with every fault found."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(fault.detail for fault in faults))
        self.faults = tuple(faults)

    def within(self, path: Path) -> "InvalidOrder":
        """The same faults, seen from a body that holds the order at `path`."""
        return InvalidOrder([Fault(fault.detail, (*path, *fault.path)) for fault in self.faults])


class NotJson(InvalidOrder):
    """A body that is no JSON, or JSON that two readers could understand differently."""


def invalid_shape(error: ValidationError) -> InvalidOrder:
    """What pydantic found, in our words."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return InvalidOrder([Fault(each["msg"], tuple(each["loc"])) for each in found])
