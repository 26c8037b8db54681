"""What was sent: read as strict JSON, or refused with what is wrong and where.

JSON parsers differ on duplicate keys, NaN, huge numbers and half characters, and PostgreSQL refuses what most of them
let through (U+0000 in text). What cannot be stored as it was sent is refused when it comes in, with the reason.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from json import JSONDecodeError, JSONDecoder
from typing import Any, NoReturn

from pydantic import ValidationError

Path = Sequence[str | int]

# Longer than any quantity or price, shorter than anything that costs time to convert.
LONGEST_NUMBER = 330
LARGEST_EXPONENT = 308

# Escapes in the order they must be tried: a whole pair is fine, half of one or U+0000 is not, the rest is
# passed over (so that `\\u0000`, an escaped backslash and five letters, is not mistaken for a NUL).
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<nul>u0000)|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


# As pydantic writes the bounds of a number.
_DECIMAL = re.compile(r"Decimal\('([^']*)'\)")


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
    """Return every fault pydantic found, without the names of our classes."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return tuple(
        Fault("an object is needed here", pointer(each["loc"]))
        if each["type"] == "model_type"
        else Fault(_DECIMAL.sub(r"\1", each["msg"]), pointer(each["loc"]))
        for each in found
    )


class JsonFault(ValueError):
    """Why a text was not taken as JSON; `position` counts characters from 0, None where it is not known."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (at character {position})")
        self.reason = reason
        self.position = position


def load_json(raw: bytes, *, max_depth: int = 20) -> Any:  # noqa: ANN401 - JSON is anything
    """Return the value of a JSON text: numbers with a fraction or exponent as Decimal, other numbers as int.

    Raises JsonFault for anything two readers could understand differently or PostgreSQL could not store.
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise JsonFault("not valid UTF-8", error.start) from None
    for escape in _ESCAPE.finditer(text) if "\\u" in text else ():
        if escape["nul"]:
            raise JsonFault("a text holds the character U+0000", escape.start())
        if escape["half"]:
            raise JsonFault("a text holds half a surrogate pair", escape.start())
    try:
        value = _DECODER.decode(text)
    except JSONDecodeError as error:
        raise JsonFault(error.msg[:1].lower() + error.msg[1:], error.pos) from None
    except RecursionError:
        raise JsonFault(f"nested deeper than {max_depth} levels") from None
    _refuse_depth(value, max_depth)
    return value


def _refuse_depth(value: Any, max_depth: int) -> None:  # noqa: ANN401 - JSON is anything
    """Walk level by level, so that deep input costs no stack."""
    level = [value] if isinstance(value, dict | list) else []
    for _ in range(max_depth):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if outer.__class__ is dict else outer)
            if inner.__class__ is dict or inner.__class__ is list
        ]
        if not level:
            return
    raise JsonFault(f"nested deeper than {max_depth} levels")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = Counter(key for key, _ in pairs)
        name = names.most_common(1)[0][0]
        raise JsonFault(f"the name {name[:40]!r} stands twice in one object")
    return found


def _integer(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise JsonFault(f"a number has more than {LONGEST_NUMBER} digits")
    return int(digits)


def _fraction(digits: str) -> Decimal:
    if len(digits) > LONGEST_NUMBER:
        raise JsonFault(f"a number has more than {LONGEST_NUMBER} digits")
    try:
        number = Decimal(digits)
    except InvalidOperation:
        raise JsonFault("a number is outside any usable range") from None
    if not -LARGEST_EXPONENT <= number.adjusted() <= LARGEST_EXPONENT:
        raise JsonFault("a number is outside any usable range")
    return number


def _constant(name: str) -> NoReturn:
    raise JsonFault(f"{name} is not JSON")


_DECODER = JSONDecoder(
    object_pairs_hook=_object,
    parse_float=_fraction,
    parse_int=_integer,
    parse_constant=_constant,
    strict=True,
)
