"""Faults: what is wrong with something that was sent, and where."""

from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import ValidationError

Path = Sequence[str | int]


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong, in words for the sender, and where: in the body, or in a parameter of the address."""

    detail: str
    pointer: str | None = "#"
    """A JSON pointer into the body as a fragment: #/lines/0/sku. None where a parameter is named instead."""
    parameter: str | None = None

    def as_json(self) -> dict[str, str]:
        """Return the fault as it is stored and answered."""
        place = {"pointer": self.pointer} if self.pointer is not None else {"parameter": self.parameter}
        return {"detail": self.detail} | {name: value for name, value in place.items() if value is not None}


def fault_at(detail: str, *path: str | int) -> Fault:
    """Return a fault of what stands in the body under these names and positions."""
    return Fault(detail, pointer(path))


def pointer(path: Path) -> str:
    """Return a JSON pointer (RFC 6901) as a fragment."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def faults_of(error: ValidationError) -> tuple[Fault, ...]:
    """Return every fault pydantic found."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple(Fault(each["msg"], pointer(each["loc"])) for each in found)
