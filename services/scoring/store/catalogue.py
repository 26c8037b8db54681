"""The catalogue: products with costs and price breaks, rates and the current fit, cached in process memory.

It is read on first use and forgotten when a fit or an import finishes, so that a batch of orders costs no query for
what has not changed. An order that is older than the newest runs of the models is scored with those before it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, Row, text

from services.scoring import runs
from services.scoring.facts import (
    Cost,
    FitFacts,
    ItemFit,
    ModelRun,
    Neighbour,
    PriceBand,
    PriceBreak,
    ProductFacts,
    cost_on,
)
from services.scoring.value import readable
from shared.domain.order import Line, in_base
from shared.identities import Name, known_products, product_ids

CANDIDATES_KEPT = 50_000
"""Customers whose candidates are kept; a company with more forgets and reads again."""


@dataclass(frozen=True, slots=True)
class _Version:
    """What the cache was read from: it is forgotten when any of it changes."""

    runs: tuple[int, ...]
    last_run: int | None
    imported_at: datetime | None
    breaks: int
    """Connections broken so far. A crash of the database may lose the last commits, and give their ids to others."""


@dataclass(slots=True)
class Catalogue(Mapping[int, ProductFacts]):
    """Products by id, as cached. One per worker process; `refresh` and `load` at the start of a batch."""

    base_currency: str
    fit: FitFacts | None = None
    _version: _Version | None = None
    _runs: tuple[tuple[str, ModelRun], ...] = ()
    _fitted_at: datetime | None = None
    _earlier: dict[frozenset[int], "Catalogue"] = field(default_factory=dict)
    _ids: dict[Name, int] = field(default_factory=dict)
    _products: dict[int, ProductFacts] = field(default_factory=dict)
    _rates: dict[tuple[str, date], Decimal | None] = field(default_factory=dict)
    _candidates: dict[int, tuple[tuple[int, float], ...]] = field(default_factory=dict)
    _with_neighbours: set[int] = field(default_factory=set)

    def __getitem__(self, product_id: int) -> ProductFacts:
        return self._products[product_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._products)

    def __len__(self) -> int:
        return len(self._products)

    @property
    def known(self) -> Mapping[int, ProductFacts]:
        """The same as a plain dictionary, which answers faster."""
        return self._products

    def refresh(self, connection: Connection, breaks: int = 0) -> None:
        """Forget everything when a fit or an import has finished since, or connections to the database broke."""
        row = connection.execute(
            text(
                "SELECT array(SELECT id FROM model_run WHERE state = 'current' ORDER BY id) AS runs,"
                " (SELECT max(id) FROM model_run) AS last_run, (SELECT max(finished_at) FROM import_run) AS imported_at"
            )
        ).one()
        version = _Version(tuple(row.runs), row.last_run, row.imported_at, breaks)
        if version == self._version:
            return
        for cache in (self._ids, self._products, self._rates, self._candidates):
            cache.clear()
        self._with_neighbours.clear()
        self._earlier.clear()
        held = connection.execute(text(runs.USABLE)).all() if row.runs else ()
        self._runs = tuple((each.model, ModelRun(each.id, each.as_of, each.grade)) for each in held)
        self._fitted_at = max((run.as_of for _, run in self._runs), default=None)
        current = {model: run for model, run in self._runs if run.id in row.runs}
        self.fit = FitFacts(current) if current else None
        self._version = version

    def before(self, moment: datetime) -> "Catalogue":
        """Return the catalogue as an order of that moment may see it: fitted on facts before it."""
        if self._fitted_at is None or self._fitted_at < moment:
            return self
        fitted = runs.before(self._runs, moment)
        key = frozenset(run.id for run in fitted.values())
        if key not in self._earlier:
            self._earlier[key] = Catalogue(self.base_currency, FitFacts(fitted) if fitted else None)
        return self._earlier[key]

    def product_ids(self, connection: Connection, named: Mapping[Name, Line]) -> dict[Name, int]:
        """Return our id for every product named, making those we do not know.

        Kept are those of earlier transactions: one that is made now is not ours until this one has committed.
        """
        self._ids |= known_products(connection, [name for name in named if name not in self._ids])
        new = {name: line for name, line in named.items() if name not in self._ids}
        made = product_ids(connection, new) if new else {}
        return {name: made[name] if name in made else self._ids[name] for name in named}

    def load(self, connection: Connection, product_ids: Collection[int]) -> None:
        """Read and keep these products, and the neighbours of each."""
        self._load(connection, product_ids)
        new = [each for each in product_ids if each not in self._with_neighbours]
        self._load(connection, {near for each in new for near in self._products[each].neighbours})
        self._with_neighbours.update(new)

    def _load(self, connection: Connection, product_ids: Collection[int]) -> None:
        missing = [each for each in product_ids if each not in self._products]
        if missing:
            self._products |= _products(connection, missing, self.fit)

    def load_candidates(self, connection: Connection, customers: Collection[int]) -> None:
        """Read and keep what the fit would offer these customers, and the products it names."""
        missing = [each for each in customers if each not in self._candidates]
        run = self.fit.runs.get("neighbours") if self.fit is not None else None
        if not missing or run is None:
            return
        if len(self._candidates) + len(missing) > CANDIDATES_KEPT:
            self._candidates.clear()
        rows = connection.execute(
            text(
                "SELECT customer_id, product_ids, scores FROM customer_candidate"
                " WHERE model_run_id = :run AND customer_id = ANY(:ids)"
            ),
            {"run": run.id, "ids": missing},
        )
        self._candidates |= dict.fromkeys(missing, ())
        for row in rows:
            self._candidates[row.customer_id] = tuple(zip(row.product_ids, row.scores, strict=True))
        self.load(connection, {product for each in missing for product, _ in self._candidates[each]})

    def candidates_of(self, customer_id: int) -> tuple[tuple[int, float], ...]:
        """The fit's never-bought products for this customer, best first, with their scores."""
        return self._candidates.get(customer_id, ())

    def load_rates(self, connection: Connection, wanted: Collection[tuple[str, date]]) -> None:
        """Read and keep the exchange rates of these (currency, day) pairs."""
        missing = [each for each in wanted if each not in self._rates and each[0] != self.base_currency]
        if not missing:
            return
        rows = connection.execute(
            text(
                "SELECT wanted.currency, wanted.day, (SELECT rate FROM fx_rate WHERE fx_rate.currency = wanted.currency"
                "  AND valid_on <= wanted.day ORDER BY valid_on DESC LIMIT 1) AS rate"
                " FROM unnest(CAST(:currencies AS text[]), CAST(:days AS date[])) AS wanted (currency, day)"
            ),
            {"currencies": [each[0] for each in missing], "days": [each[1] for each in missing]},
        )
        self._rates |= {(row.currency, row.day): row.rate for row in rows}

    def rate(self, currency: str, day: date) -> Decimal | None:
        """Base currency for one unit of currency on that day; None when it is not known."""
        return Decimal(1) if currency == self.base_currency else self._rates.get((currency, day))

    def cost(self, connection: Connection, product: ProductFacts, day: date) -> Decimal | None:
        """Base currency per base unit, valid that day; None when cost or rate is unknown."""
        cost = cost_on(product, day)
        if cost is None:
            return None
        if cost.currency != self.base_currency:
            self.load_rates(connection, [(cost.currency, day)])
        return in_base(cost.cost, self.rate(cost.currency, day))


_MASTER = text(
    "SELECT product.id, product.name, product.category, status, stock, floor_margin, list_price, currency,"
    " (SELECT min(external_id) FROM product_ref WHERE product_id = product.id) AS sku"
    " FROM product WHERE id = ANY(:ids)"
)

# One statement for the lists that hang on a product, each as JSON by product.
_LISTS = {
    "costs": "SELECT product_id, valid_from, cost, currency FROM product_cost WHERE product_id = ANY(:ids)"
    " ORDER BY valid_from",
    "breaks": "SELECT product_id, min_quantity, unit_price, currency, valid_from FROM price_break"
    " WHERE product_id = ANY(:ids)",
    "substitutes": "SELECT product_id, substitute_id FROM product_substitute WHERE product_id = ANY(:ids)"
    " UNION SELECT substitute_id, product_id FROM product_substitute WHERE substitute_id = ANY(:ids)",
}

# By list: the model whose current run wrote it, and how it is read.
_FITTED = {
    "items": (
        "item_facts",
        (
            "SELECT product_id, name, buyers, first_quantity, line_quantity, unit_price, margin_rate,"
            " category_margin_rate, repeats FROM item_fact WHERE model_run_id = :run AND product_id = ANY(:ids)"
        ),
    ),
    "neighbours": (
        "neighbours",
        (
            'SELECT product_id, neighbour_id, score, buyers, "both" FROM item_neighbour'
            " WHERE model_run_id = :run AND product_id = ANY(:ids) ORDER BY score DESC"
        ),
    ),
    "bands": (
        "price_bands",
        (
            "SELECT product_id, channel, currency, min_quantity, max_quantity, buyers, unit_price, low_price,"
            " latest_price FROM price_band WHERE model_run_id = :run AND product_id = ANY(:ids) ORDER BY min_quantity"
        ),
    ),
    # seen in history: they stand in for a price list that nobody imported
    "inferred_breaks": (
        "inferred_breaks",
        (
            "SELECT product_id, min_quantity, unit_price, currency, channel FROM inferred_break"
            " WHERE model_run_id = :run AND product_id = ANY(:ids)"
        ),
    ),
}

MODELS = {"neighbours"} | {model for model, _ in _FITTED.values()}
"""The models whose tables are read here."""

Rows = list[tuple[Any, ...]]
Lists = dict[str, dict[int, Rows]]
"""By list and product: its rows, without the product's id."""


def _products(connection: Connection, ids: list[int], fit: FitFacts | None) -> dict[int, ProductFacts]:
    lists: Lists = {name: _by_product(connection, sql, {"ids": ids}) for name, sql in _LISTS.items()}
    for name, (model, sql) in _FITTED.items():
        run = fit.runs.get(model) if fit is not None else None
        lists[name] = {} if run is None else _by_product(connection, sql, {"ids": ids, "run": run.id})
    return {row.id: _product(row, lists) for row in connection.execute(_MASTER, {"ids": ids})}


def _by_product(connection: Connection, sql: str, arguments: Mapping[str, object]) -> dict[int, Rows]:
    grouped: dict[int, Rows] = defaultdict(list)
    for product_id, *row in connection.execute(text(sql), arguments).cursor.fetchall():  # plain: thousands
        grouped[product_id].append(tuple(row))
    return grouped


def _breaks(listed: Rows, inferred: Rows) -> tuple[PriceBreak, ...]:
    """Return the breaks of the price list, and in the currencies it does not name those that were inferred."""
    given = [PriceBreak(*each) for each in listed]
    currencies = {each.currency for each in given}
    return (
        *given,
        *(
            PriceBreak(_amount(min_quantity), _amount(unit_price), currency, channel=channel)
            for min_quantity, unit_price, currency, channel in inferred
            if currency not in currencies
        ),
    )


def _product(row: Row[Any], lists: Lists) -> ProductFacts:
    def rows(name: str) -> Rows:
        return lists[name].get(row.id, [])

    fitted_name, buyers, *fitted = (rows("items") or [(None, None)])[0]
    return ProductFacts(
        id=row.id,
        name=readable(row.name or fitted_name or row.sku or f"product {row.id}"),
        sku=row.sku or "",
        category=row.category,
        is_active=row.status == "active",
        stock=row.stock,
        floor_margin=row.floor_margin,
        list_price=row.list_price,
        list_currency=row.currency,
        substitutes=frozenset(each for (each,) in rows("substitutes")),
        breaks=_breaks(rows("breaks"), rows("inferred_breaks")),
        costs=tuple(Cost(*each) for each in rows("costs")),
        neighbours={near: Neighbour(*link) for near, *link in rows("neighbours")},
        bands=tuple(_band(*each) for each in rows("bands")),
        fitted=None
        if buyers is None
        else ItemFit(buyers, *(None if each is None else _amount(each) for each in fitted)),
    )


def _band(
    channel: str, currency: str, least: float, most: float | None, buyers: int, *prices: float
) -> PriceBand:
    upper = None if most is None else _amount(most)
    return PriceBand(channel, currency, _amount(least), upper, buyers, *map(_amount, prices))


def _amount(value: float) -> Decimal:
    """Fitted numbers are floats; four decimals are what they are good for."""
    return Decimal(f"{value:.4f}")
