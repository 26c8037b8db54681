"""Orders to measure with: ten lines each, of the sample company's customers and products."""

import csv
import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from bench.hammer import Address, request
from shared.signing import sign

LINES = 10


def made_orders(
    sample: Path, count: int, *, prefix: str, below_cost: bool = False
) -> Iterator[dict[str, Any]]:
    """Yield orders of active customers, one after another; with `below_cost` one line sells under its cost."""
    chance = random.Random(7)
    with (sample / "customers.csv").open() as file:
        customers = [
            row for row in csv.DictReader(file) if row["status"] == "active" and row["internal"] != "true"
        ]
    with (sample / "products.csv").open() as file:
        products = [row for row in csv.DictReader(file) if row["status"] == "active"]
    began = datetime.now(UTC) - timedelta(minutes=5)
    for number in range(count):
        customer = customers[number % len(customers)]
        yield {
            "id": f"{prefix}-{number}",
            "ordered_at": (began + timedelta(milliseconds=number)).isoformat(),
            "currency": customer["currency"] or "EUR",
            "customer": {"id": customer["id"]},
            "lines": [
                _line(position, product, below_cost=below_cost and position == 0)
                for position, product in enumerate(chance.sample(products, LINES))
            ],
        }


def _line(position: int, product: dict[str, str], *, below_cost: bool) -> dict[str, Any]:
    price = float(product["list_price"]) * (0.1 if below_cost else 0.9)
    return {
        "id": str(position + 1),
        "sku": product["id"],
        "title": product["name"],
        "category": product["category"],
        "quantity": "10",
        "unit_price": f"{price:.2f}",
    }


def webhook(order: dict[str, Any], address: Address, secret: str) -> bytes:
    """The whole signed request that posts one order."""
    now = datetime.now(UTC)
    body = json.dumps({"type": "order.created", "timestamp": now.isoformat(), "data": order}).encode()
    headers = {"Content-Type": "application/json", **sign(f"msg_{order['id']}", now, body, [secret])}
    return request("/hooks/standard", address, headers, body)
