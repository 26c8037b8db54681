"""Export what a kind would rank on a past day, every eligible row: to be judged by what happened then.

Models are fitted on the facts before that day and stay unpublished. Gates, floors and episodes play no part.
"""

import csv
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ibis
from adbc_driver_postgresql import dbapi

from services.scoring.effects import ASSUMED_MARGIN, EFFECTS, gain
from services.scoring.engine import open_engine
from services.scoring.fit import models as fitted_models
from services.scoring.fit.calibration import Step
from services.scoring.fit.facts import Facts, read_facts
from services.scoring.fit.model import Model, learnt
from services.scoring.fit.models import neighbours, reorder
from services.scoring.fit.run import connected
from services.scoring.model_rows import at_own_margin
from shared.plugins import discover

COLUMNS = ("customer", "kind", "subject", "rank", "score", "probability", "value")


@dataclass(frozen=True, slots=True)
class Row:
    """What a kind says of one customer, or of one customer and product; `subject` says what else it is about."""

    customer_id: int
    product_id: int | None
    subject: str
    score: float
    probability: float
    value: float


@dataclass(frozen=True, slots=True)
class Listing:
    """How a kind is listed: the models it needs, and its rows best first, by customer where it names items."""

    models: tuple[str, ...]
    rows: Callable[[Facts, int], Iterator[Row]]
    by_customer: bool


def export(
    database_url: str, as_of: datetime, kind: str, *, top: int, zone: str, extracts: Path | None = None
) -> list[dict[str, object]]:
    """Return the first `top` rows of a kind as of a day (of each customer, where it names items), ids as outside."""
    listing = LISTINGS[kind]
    found = discover(fitted_models, "MODEL", Model)
    with (
        open_engine(threads=2, memory="900MB", extracts=extracts) as engine,
        connected(database_url) as connection,
    ):
        facts = read_facts(engine, connection, as_of, zone=zone, received_by=as_of)
        unpublished = learnt(facts, [found[name] for name in listing.models])
        outside = _outside_ids(connection)
        return [
            {
                "customer": outside["customer"].get(row.customer_id, row.customer_id),
                "kind": kind,
                "subject": outside["product"].get(row.product_id, row.subject)
                if row.product_id is not None
                else row.subject,
                "rank": rank,
                "score": f"{row.score:.6g}",
                "probability": f"{row.probability:.4f}",
                "value": f"{row.value:.2f}",
            }
            for rank, row in _ranked(listing.rows(unpublished, top), listing, top)
        ]


def write(file: Path, rows: Collection[Mapping[str, object]]) -> None:
    """Write rows as CSV."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _ranked(rows: Iterator[Row], listing: Listing, top: int) -> Iterator[tuple[int, Row]]:
    """Number rows from 1, each customer's by themselves where the kind names items."""
    count: dict[int, int] = {}
    for row in rows:
        key = row.customer_id if listing.by_customer else 0
        count[key] = count.get(key, 0) + 1
        if count[key] <= top:
            yield count[key], row


def _outside_ids(connection: dbapi.Connection) -> dict[str, dict[int, str]]:
    names = {}
    for entity in ("customer", "product"):
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {entity}_id, min(external_id) FROM {entity}_ref GROUP BY 1")  # noqa: S608 (names are ours)
            names[entity] = dict(cursor.fetchall())
    return names


def _going_quiet(facts: Facts, _top: int) -> Iterator[Row]:
    for row in _valued(facts, "going_quiet", [ibis.desc("gain"), "customer_id"], of_heads=True):
        yield Row(row["customer_id"], None, "orders", row["p_lost"], row["p0"], row["gain"])


def _spend_drop(facts: Facts, _top: int) -> Iterator[Row]:
    for row in _valued(facts, "spend_drop", [ibis.desc("gain"), "customer_id"], of_heads=True):
        yield Row(row["customer_id"], None, "spend", -row["deviation"], row["p0"], row["gain"])


def _stopped(table: str, key: str) -> Callable[[Facts, int], Iterator[Row]]:
    def rows(facts: Facts, _top: int) -> Iterator[Row]:
        for row in _valued(facts, table, [ibis.desc("gain"), "customer_id", key]):
            product = row[key] if key == "product_id" else None
            yield Row(row["customer_id"], product, str(row[key]), row["revenue"], row["p0"], row["gain"])

    return rows


def _reorder(facts: Facts, top: int) -> Iterator[Row]:
    """A customer's own items, then what most customers buy: nobody's list is shorter than asked for."""
    popular = [row["product_id"] for row in facts.engine.rows(reorder.popular(facts, top + reorder.KEPT))]
    chance = reorder.popular_chance(facts, top)
    own: list[dict[str, Any]] = []
    for row in [*_table(facts, "reorder_item", ["customer_id", "place"]), None]:
        if own and (row is None or row["customer_id"] != own[0]["customer_id"]):
            yield from _filled(own, popular, chance, top)
            own = []
        if row is not None:
            own.append(row)


def _filled(own: list[dict[str, Any]], popular: list[int], chance: float, top: int) -> Iterator[Row]:
    customer = own[0]["customer_id"]
    for row in own:
        margin = (row["quantity"] or 0) * (row["unit_price"] or 0) * ASSUMED_MARGIN
        value = gain(row["p0"], margin, EFFECTS["reorder_due"])
        yield Row(customer, row["product_id"], "", row["score"], row["p0"], value)
    held = {row["product_id"] for row in own}
    for product in [each for each in popular if each not in held][: max(top - len(own), 0)]:
        yield Row(customer, product, "", 0.0, chance, 0.0)


def _cross_sell(facts: Facts, _top: int) -> Iterator[Row]:
    steps = neighbours.listed(facts)
    items = {row["product_id"]: row for row in _table(facts, "item_fact", ["product_id"])}
    for listed in _table(facts, "customer_candidate", ["customer_id"]):
        for product, score in zip(listed["product_ids"], listed["scores"], strict=True):
            chance = _chance(steps, score)
            value = gain(chance, _first_margin(items.get(product, {})), EFFECTS["cross_sell"])
            yield Row(listed["customer_id"], product, "", score, chance, value)


def _chance(steps: Sequence[Step], score: float) -> float:
    reached = [step for step in steps if score >= step.least] or steps[:1]
    return reached[-1].probability if reached else 0.0


def _first_margin(item: Mapping[str, Any]) -> float:
    """Return the margin of a first order of the item and of what usually follows within 90 days."""
    rate = next(
        (item[name] for name in ("margin_rate", "category_margin_rate") if item.get(name) is not None),
        ASSUMED_MARGIN,
    )
    revenue = (item.get("first_quantity") or 0) * (item.get("unit_price") or 0)
    return float(revenue * rate * (1 + (item.get("repeats") or 0)))


def _valued(facts: Facts, name: str, order: list[Any], *, of_heads: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a model with their gain at the customer's own margin."""
    rows = facts.predictions.table(name)
    if rows is None:
        return []
    return facts.engine.rows(at_own_margin(facts, rows, of_heads=of_heads).order_by(order))


def _table(facts: Facts, name: str, order: list[Any]) -> list[dict[str, Any]]:
    rows = facts.predictions.table(name)
    return [] if rows is None else facts.engine.rows(rows.order_by(order))


LISTINGS: Mapping[str, Listing] = MappingProxyType(
    {
        "going_quiet": Listing(("going_quiet",), _going_quiet, by_customer=False),
        "spend_drop": Listing(("spend_drop",), _spend_drop, by_customer=False),
        "stopped_item": Listing(("stopped_item",), _stopped("stopped_item", "product_id"), by_customer=False),
        "stopped_category": Listing(
            ("stopped_category",), _stopped("stopped_category", "category"), by_customer=False
        ),
        "reorder_due": Listing(("reorder",), _reorder, by_customer=True),
        "cross_sell": Listing(("neighbours", "item_facts"), _cross_sell, by_customer=True),
    }
)
"""How each kind is listed."""
