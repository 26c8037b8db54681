"""The sample company's files as any importer would read them, for tests of what was planted in them."""

import csv
import itertools
import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from deploy.sample import SampleFiles
from deploy.sample.pricing import LIST_RATES

TODAY = date(2026, 11, 22)  # a Sunday: the last day is a Saturday
LAST_DAY = date(2026, 11, 21)
Truth = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bought:
    """One product line of a confirmed sale, in base units and the order's currency."""

    order: str
    customer: str
    sku: str
    category: str
    day: date
    quantity: Decimal
    price: Decimal
    listed: Decimal

    @property
    def discount(self) -> Decimal:
        """The share of the list price for this quantity that was let go."""
        return 1 - self.price / self.listed


class Books:
    """Everything the tests look up, read from the files as any importer would."""

    def __init__(self, files: SampleFiles) -> None:
        self.truths: list[Truth] = json.loads(files.truth.read_text("utf-8"))
        self.reports: list[dict[str, Any]] = [
            json.loads(line) for line in files.last_day.read_text("utf-8").splitlines()
        ]
        self.by_customer: dict[str, list[Bought]] = defaultdict(list)
        for row in rows(files.orders):
            if is_sale(row) and row["sku"] and Decimal(row["unit_price"]):
                self.by_customer[row["customer_id"]].append(bought(row))
        self.costs: dict[str, list[tuple[date, Decimal]]] = defaultdict(list)
        for row in rows(files.costs):
            day = date.fromisoformat(row["valid_from"])
            self.costs[row["product_id"]].append((day, Decimal(row["cost"])))
        self.breaks: dict[str, dict[Decimal, Decimal]] = defaultdict(dict)
        for row in rows(files.price_breaks):
            self.breaks[row["product_id"]][Decimal(row["min_quantity"])] = Decimal(row["unit_price"])
        self.customers = {row["id"]: row for row in rows(files.customers)}
        self.segments = {key: row["segment"] for key, row in self.customers.items()}
        self.products = {row["id"]: row for row in rows(files.products)}
        self.agreements = {
            (row["customer_id"], row["product_id"]): row for row in rows(files.price_agreements)
        }

    def cost(self, sku: str, day: date) -> Decimal:
        return [cost for since, cost in self.costs[sku] if since <= day][-1]

    def margin(self, line: Bought) -> Decimal:
        rate = LIST_RATES[self.customers.get(line.customer, {}).get("currency", "EUR")]
        return 1 - self.cost(line.sku, line.day) * rate / line.price

    def planted(self, situation: str) -> list[Truth]:
        found = [each for each in self.truths if each["situation"] == situation]
        assert found, situation
        return found

    def since(self, truth: Truth) -> date:
        return date.fromisoformat(truth["since"])

    def bought_by(self, truth: Truth) -> list[Bought]:
        return self.by_customer[truth["customer"]]

    def of_subject(self, truth: Truth) -> list[Bought]:
        return [line for line in self.bought_by(truth) if truth["subject"] in (line.sku, line.category)]

    def report(self, truth: Truth) -> dict[str, Any]:
        return next(each for each in reversed(self.reports) if each["id"] == truth["order"])

    def reported_line(self, truth: Truth) -> Bought:
        order = self.report(truth)
        line = next(each for each in order["lines"] if each.get("sku") == truth["subject"])
        quantity = Decimal(line["quantity"]) * Decimal(line["units_per_pack"])
        net = Decimal(line["quantity"]) * Decimal(line["unit_price"]) - Decimal(line.get("discount", 0))
        listed = Decimal(line["unit_price"]) / Decimal(line["units_per_pack"])
        return Bought(
            order["id"], truth["customer"], line["sku"], line["category"], LAST_DAY, quantity, net / quantity,
            listed,
        )  # fmt: skip


def is_sale(row: dict[str, str]) -> bool:
    """Whether the order of this row is a sale that holds."""
    return row["order_kind"] == "sale" and row["order_status"] == "confirmed"


def order_days(lines: Iterable[Bought]) -> list[date]:
    """The days on which something was bought, in order."""
    return sorted({line.day for line in lines})


def gaps(days: list[date]) -> list[int]:
    """The days between each order day and the next."""
    return [(later - day).days for day, later in itertools.pairwise(days)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def bought(row: dict[str, str]) -> Bought:
    quantity = Decimal(row["quantity"]) * Decimal(row["units_per_pack"])
    net = Decimal(row["quantity"]) * Decimal(row["unit_price"]) - Decimal(row["discount"] or 0)
    day = datetime.fromisoformat(row["ordered_at"]).date()
    listed = Decimal(row["unit_price"]) / Decimal(row["units_per_pack"])
    return Bought(
        row["order_id"],
        row["customer_id"],
        row["sku"],
        row["category"],
        day,
        quantity,
        net / quantity,
        listed,
    )
