"""Build what a detector sees, with only what matters overridden."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from services.scoring.facts import (
    Assumptions,
    CustomerFacts,
    FitFacts,
    ItemFit,
    LineFacts,
    ModelRun,
    OrderFacts,
    PriceBand,
    PriceBreak,
    ProductFacts,
    Purchase,
)
from shared.domain.order import Line, LineKind, OrderKind, OrderStatus
from shared.domain.signal import Episode

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DRILL, BIT, SAW, PLUG = 1, 2, 3, 4
NAMES = {DRILL: "Cordless drill", BIT: "Drill bit", SAW: "Saw", PLUG: "Wall plug"}


def money(amount: str | float) -> Decimal:
    """A Decimal from what reads best in a test."""
    return Decimal(str(amount))


def an_item(**given: Any) -> ItemFit:
    """A product bought by sixty accounts: twelve at 4.10 at first, at a margin of 40 %."""
    values: dict[str, Any] = {
        "buyers": 60,
        "first_quantity": money(12),
        "line_quantity": money(12),
        "unit_price": money("4.10"),
        "margin_rate": money("0.40"),
        "repeats": money(0),
    }
    return ItemFit(**(values | given))


def a_product(product_id: int = DRILL, **given: Any) -> ProductFacts:
    """An active product the fit knows."""
    values: dict[str, Any] = {"name": NAMES.get(product_id, f"Product {product_id}"), "fitted": an_item()}
    return ProductFacts(id=product_id, **(values | given))


def a_purchase(
    days_ago: float, quantity: str | float = 10, price: str | float = 5, currency: str = "GBP"
) -> Purchase:
    """One earlier purchase."""
    return Purchase(NOW - timedelta(days=days_ago), money(quantity), money(price), currency)


def a_line(
    product: ProductFacts | None = None, quantity: str | float = 10, price: str | float = 5, **given: Any
) -> LineFacts:
    """One product line of the order: ten at 5, cost unknown, never bought before."""
    product = product or a_product()
    net = money(quantity) * money(price)
    cost = given.pop("cost", None)
    values: dict[str, Any] = {
        "number": 1,
        "line": Line(id="1", kind=LineKind.PRODUCT, quantity=money(quantity), net=net, sku=str(product.id)),
        "product": product,
        "unit_price": money(price),
        "base_net": net,
        "base_unit_cost": None if cost is None else money(cost),
    }
    return LineFacts(**(values | given))


def facts(*lines: LineFacts, **given: Any) -> OrderFacts:
    """A sale in pounds to an account, with a fresh fit in which cross-sell wins."""
    products: Iterable[ProductFacts] = given.pop("products", ())
    values: dict[str, Any] = {
        "order_id": 1,
        "version": 1,
        "as_of": NOW,
        "currency": "GBP",
        "channel": "",
        "status": OrderStatus.CONFIRMED,
        "kind": OrderKind.SALE,
        "customer": CustomerFacts(7, "Acme"),
        "lines": lines,
        "assumptions": Assumptions("GBP", Decimal("0.30"), Decimal(0)),
        "rate": Decimal(1),
        "base_net": sum((each.line.net for each in lines), Decimal(0)),
        "products": {each.id: each for each in (*(line.product for line in lines), *products)},
        "fit": a_fit(passes=True),
    }
    return OrderFacts(**(values | given))


def a_break(quantity: float, price: float, **given: Any) -> PriceBreak:
    """One rung of the price list."""
    return PriceBreak(money(quantity), money(price), "GBP", **given)


def a_band(price: float, **given: Any) -> PriceBand:
    """What twenty accounts paid for any quantity."""
    values: dict[str, Any] = {
        "channel": "",
        "currency": "GBP",
        "min_quantity": money(1),
        "max_quantity": None,
        "buyers": 20,
        "unit_price": money(price),
        "low_price": money(price),
        "latest_price": money(price),
    }
    return PriceBand(**(values | given))


def a_fit(as_of: datetime = NOW - timedelta(hours=10), **grade: Any) -> FitFacts:
    """A fit whose neighbours were graded so."""
    return FitFacts({"neighbours": ModelRun(3, as_of, grade)})


def an_episode(kind: str, product_id: int | None = DRILL) -> Episode:
    """A question opened a week ago."""
    return Episode(kind, 7, f"product:{product_id}", NOW - timedelta(days=7), product_id)
