"""Column maps: TOML files that say, in SQL over a file's columns, what our fields are.

A map names the headers a column may have, rows to reject with a reason, and an expression for each field of an order
and of its lines. Adding a map is adding a file; an own one may be named by its path.
"""

import tomllib
import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

NAMED = 2
"""By so many of its spellings a missing column is told."""

FOLDER = Path(__file__).parent / "columns"


class MapFault(ValueError):
    """A column map that does not exist, is broken, or does not fit the file; the message says how."""


@dataclass(frozen=True, slots=True)
class Reject:
    """Rows that do not come in: an SQL condition, and the reason people read."""

    when: str
    reason: str


@dataclass(frozen=True, slots=True)
class ColumnMap:
    """How one kind of file tells of orders. Fields are SQL expressions over the words of `headers`, `file` and `let`."""

    name: str
    description: str
    headers: Mapping[str, tuple[str, ...]]
    order: Mapping[str, str]
    line: Mapping[str, str]
    value: str
    customer: Mapping[str, str] = field(default_factory=dict)
    returns: Mapping[str, str] = field(default_factory=dict)
    optional: frozenset[str] = frozenset()
    file: Mapping[str, str] = field(default_factory=dict)
    let: Mapping[str, str] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()
    zone: str | None = None
    currency: str | None = None

    def columns_of(self, present: Collection[str]) -> dict[str, str | None]:
        """Which column of the file each word stands for; None where it is absent and may be.

        Raises MapFault naming every column that is missing.
        """
        by_name: dict[str, str] = {}
        for name in present:
            by_name.setdefault(_plain(name), name)
        found: dict[str, str | None] = {}
        for word, spellings in self.headers.items():
            names = (by_name.get(_plain(spelling)) for spelling in spellings)
            found[word] = next((name for name in names if name is not None), None)
        missing = [word for word, name in found.items() if name is None and word not in self.optional]
        if missing:
            wanted = ", ".join(" or ".join(self.headers[word][:NAMED]) for word in missing)
            raise MapFault(
                f"the file has no column {wanted}; it has {', '.join(present)}\n"
                "hint: the first line names the columns; --columns names a map of other names: docs/imports.md"
            )
        return found

    def ignored(self, present: Collection[str]) -> tuple[str, ...]:
        """The columns of the file that stand for nothing."""
        known = {_plain(spelling) for spellings in self.headers.values() for spelling in spellings}
        return tuple(name for name in present if _plain(name) not in known)


def _plain(header: str) -> str:
    """Return a header as headers are compared: without case, accents, blanks and punctuation but #, %, °."""
    letters = unicodedata.normalize("NFKD", header.casefold())
    return "".join(each for each in letters if each.isalnum() or each in "#%")


def known_maps() -> list[str]:
    """Names of the maps that ship with Tipoff."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def read_map(name: str) -> ColumnMap:
    """Read a map by its name, or by the path of a TOML file. Raises MapFault."""
    path = Path(name) if name.endswith(".toml") else FOLDER / f"{name}.toml"
    if not path.is_file():
        raise MapFault(
            f"there is no column map {name!r}; there are {', '.join(known_maps())}, or a .toml file"
        )
    try:
        return _of(path.stem, tomllib.loads(path.read_text("utf-8")))
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as fault:
        raise MapFault(f"{path} is no column map: {type(fault).__name__}: {fault}") from None


def _of(name: str, toml: dict[str, object]) -> ColumnMap:
    known = {"description", "zone", "currency", "optional", "headers", "file", "let", "rejects", "row", "order", "customer",
             "line", "returns"}  # fmt: skip
    if unknown := set(toml) - known:
        raise MapFault(f"the column map {name} holds unknown parts: {', '.join(sorted(unknown))}")
    parts: dict[str, dict[str, str]] = {
        part: dict(toml.get(part, {}))  # type: ignore[call-overload]
        for part in ("file", "let", "row", "order", "customer", "line", "returns")
    }
    return ColumnMap(
        name=name,
        description=str(toml["description"]),
        headers={word: tuple(names) for word, names in toml["headers"].items()},  # type: ignore[attr-defined]
        order=parts["order"],
        line=parts["line"],
        value=parts["row"]["value"],
        customer=parts["customer"],
        returns=parts["returns"],
        optional=frozenset(toml.get("optional", ())),  # type: ignore[call-overload]
        file=parts["file"],
        let=parts["let"],
        rejects=tuple(Reject(each["when"], each["reason"]) for each in toml.get("rejects", ())),  # type: ignore[attr-defined]
        zone=str(toml["zone"]) if "zone" in toml else None,
        currency=str(toml["currency"]) if "currency" in toml else None,
    )
