"""Entities: what a file of each holds, its columns, their types, what is required, and how rows are keyed.

Adding an entity, or a column to one, is adding it here: reading, checks, dry run and reject file are the same for all.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from services.ingest.imports import entity_sql as sql

ID, IDS, WORDS, AMOUNT, EXCHANGE_RATE, SHARE, DAY, MOMENT, FLAG = (
    "id", "ids", "words", "amount", "exchange rate", "share", "day", "moment", "flag",
)  # fmt: skip

POSTGRES_TYPES = {
    AMOUNT: "numeric",
    EXCHANGE_RATE: "numeric",
    SHARE: "numeric",
    DAY: "date",
    MOMENT: "timestamptz",
    FLAG: "boolean",
}
"""What PostgreSQL holds values of each kind as; others are text."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a file. `refers_to` names the entity whose id it holds; `one_of` the words it may be."""

    name: str
    kind: str = WORDS
    is_required: bool = False
    refers_to: str | None = None
    one_of: tuple[str, ...] = ()
    least: str | None = None
    """The smallest number it may be; more than that when it starts with '>'."""


@dataclass(frozen=True, slots=True)
class Entity:
    """One kind of file. `key` says which rows are the same thing; `write` is the SQL that takes the staged rows in.

    `write` reads `staged`, a temporary table of the columns, `:source` and `:base_currency`. What a file leaves blank
    stays as it was.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    write: tuple[str, ...]
    refuses: tuple[tuple[str, str], ...] = ()
    """What columns must not say together: conditions over their texts (`$base`: the base currency), and reasons."""
    in_order: tuple[str, str] | None = None
    """Two days: the second is not before the first."""
    either_or: tuple[tuple[str, str], ...] = ()
    """Pairs of columns of which one, and only one, says something."""
    only_one: str | None = None
    """The flag that one row of the file may set."""
    changes_derived: bool = False
    """Is anything worked out of it, that must be worked out anew?"""


def _id(name: str, **more: object) -> Column:
    return Column(name, ID, is_required=True, **more)  # type: ignore[arg-type]


CURRENCY = Column("currency", "currency")

CUSTOMERS = Entity(
    "customers",
    (
        _id("id"),
        Column("name"),
        Column("status", one_of=("active", "blocked", "closed")),
        Column("internal", FLAG),
        Column("parent_id", ID, refers_to="customers"),
        Column("segment"),
        Column("region"),
        Column("territory_id", ID, refers_to="territories"),
        Column("country"),
        Column("city"),
        Column("channel"),
        Column("phone"),
        Column("email"),
        CURRENCY,
    ),
    key=("id",),
    write=(sql.NEW_CUSTOMERS, sql.CUSTOMERS),
    refuses=(("parent_id = id", "parent_id is the customer itself"),),
)

PRODUCTS = Entity(
    "products",
    (
        _id("id"),
        Column("name"),
        Column("category"),
        Column("status", one_of=("active", "discontinued")),
        Column("stock", AMOUNT),
        Column("list_price", AMOUNT, least="0"),
        Column("floor_margin", SHARE),
        CURRENCY,
        Column("units_per_pack", AMOUNT, least=">0"),
        Column("substitutes", IDS, refers_to="products"),
    ),
    key=("id",),
    write=(sql.NEW_PRODUCTS, sql.PRODUCTS, sql.OLD_SUBSTITUTES, sql.SUBSTITUTES),
)

COSTS = Entity(
    "costs",
    (
        _id("product_id", refers_to="products"),
        Column("valid_from", DAY),
        Column("cost", AMOUNT, is_required=True, least="0"),
        CURRENCY,
    ),
    key=("product_id", "valid_from"),
    write=(sql.COSTS,),
    changes_derived=True,
)

PRICE_BREAKS = Entity(
    "price-breaks",
    (
        _id("product_id", refers_to="products"),
        Column("min_quantity", AMOUNT, is_required=True, least=">0"),
        Column("unit_price", AMOUNT, is_required=True, least="0"),
        CURRENCY,
        Column("valid_from", DAY),
    ),
    key=("product_id", "currency", "valid_from", "min_quantity"),
    write=(sql.PRICE_BREAKS,),
)

REPS = Entity(
    "reps",
    (
        _id("id"),
        Column("name", is_required=True),
        Column("email", "mail"),
        Column("phone"),
        Column("time_zone", "zone"),
        Column("manager_id", ID, refers_to="reps"),
        Column("default_owner", FLAG),
    ),
    key=("id",),
    write=(sql.OLD_DEFAULT_OWNER, sql.REPS, sql.USERS, sql.MANAGERS),
    only_one="default_owner",
)

TERRITORIES = Entity(
    "territories",
    (
        _id("id"),
        Column("name", is_required=True),
        Column("region"),
        Column("rep_id", ID, refers_to="reps"),
        Column("valid_from", DAY),
    ),
    key=("id", "valid_from"),
    write=(sql.TERRITORIES, sql.TERRITORY_OWNERS),
)

ASSIGNMENTS = Entity(
    "assignments",
    (
        _id("customer_id", refers_to="customers"),
        _id("rep_id", refers_to="reps"),
        Column("valid_from", DAY),
    ),
    key=("customer_id", "valid_from"),
    write=(sql.ASSIGNMENTS,),
)

TARGETS = Entity(
    "targets",
    (
        _id("rep_id", refers_to="reps"),
        Column("period_start", DAY, is_required=True),
        Column("period_end", DAY, is_required=True),
        Column("amount", AMOUNT, is_required=True, least="0"),
        CURRENCY,
    ),
    key=("rep_id", "period_start", "period_end"),
    write=(sql.TARGETS,),
    in_order=("period_start", "period_end"),
)

EXCHANGE_RATES = Entity(
    "exchange-rates",
    (
        Column("currency", "currency", is_required=True),
        Column("valid_on", DAY, is_required=True),
        Column("rate", EXCHANGE_RATE, is_required=True, least=">0"),
    ),
    key=("currency", "valid_on"),
    write=(sql.EXCHANGE_RATES,),
    refuses=(
        (
            "currency = $base AND TRY_CAST(rate AS DOUBLE) <> 1",
            "rate must be 1: this is the base currency itself",
        ),
    ),
    changes_derived=True,
)

PRICE_AGREEMENTS = Entity(
    "price-agreements",
    (
        Column("customer_id", ID, refers_to="customers"),
        Column("segment"),
        Column("product_id", ID, refers_to="products"),
        Column("category"),
        Column("unit_price", AMOUNT, is_required=True, least=">0"),
        CURRENCY,
        Column("valid_from", DAY),
        Column("valid_to", DAY),
    ),
    key=("customer_id", "segment", "product_id", "category", "currency", "valid_from"),
    write=(sql.PRICE_AGREEMENTS,),
    in_order=("valid_from", "valid_to"),
    either_or=(("customer_id", "segment"), ("product_id", "category")),
)

CONTACTS = Entity(
    "contacts",
    (
        _id("id"),
        _id("customer_id", refers_to="customers"),
        Column("at", MOMENT, is_required=True),
        Column("channel"),
        Column("by"),
        Column("result"),
    ),
    key=("id",),
    write=(sql.CONTACTS,),
)

HOLDS = Entity(
    "holds",
    (
        _id("customer_id", refers_to="customers"),
        Column("kind", is_required=True, one_of=("credit_hold", "complaint", "other")),
        Column("valid_from", DAY, is_required=True),
        Column("valid_to", DAY),
        Column("reference", ID),
        Column("note"),
    ),
    key=("customer_id", "kind", "valid_from", "reference"),
    write=(sql.HOLDS,),
    in_order=("valid_from", "valid_to"),
)

ENTITIES: Mapping[str, Entity] = {
    entity.name: entity
    for entity in (
        CUSTOMERS, PRODUCTS, COSTS, PRICE_BREAKS, REPS, TERRITORIES, ASSIGNMENTS, TARGETS, EXCHANGE_RATES,
        PRICE_AGREEMENTS, CONTACTS, HOLDS,
    )
}  # fmt: skip
