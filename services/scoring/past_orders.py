"""Past orders: what the kinds that look at orders would have said of each order of a day, on what was known then.

The facts come from the same queries and constructors as live ones, but for what had not been received by then; the
models are those of that morning, in tables of this session that stand before the published ones.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from psycopg import Connection as PsycopgConnection
from sqlalchemy import Connection, text

from services.scoring import detect, gather
from services.scoring.apply import ResolvedLine, ResolvedOrder
from services.scoring.backtest import Judged
from services.scoring.facts import FitFacts, ModelRun, OrderFacts
from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Model, learnt
from services.scoring.fit.publish import sql_type
from services.scoring.outcomes import Seen, looked_up
from services.scoring.store import orders, sales
from services.scoring.store.catalogue import MODELS, Catalogue
from shared.domain.signal import Episode, OrderSignalKind, Signal, worded

OrderKinds = Mapping[str, OrderSignalKind[OrderFacts]]
_EpisodeKey = tuple[str, int | None, str]
RUN = 0
"""The run that tables of the session name: none that was published has this number."""

NOBODY_KNOWS = Seen(None, None, None, None)


@dataclass(slots=True)
class PastOrders:
    """Judges the orders of one day after another, inside one transaction. Nothing is kept in the database.

    Models are fitted when those there are have become `fit_every` old. Mentions without a reason for a message count
    `with_alone` only: to judge their chances.
    """

    connection: Connection
    kinds: OrderKinds
    models: Mapping[str, Model]
    base_currency: str
    fit_every: timedelta = timedelta(0)
    with_alone: bool = False
    _newest: FitFacts | None = None
    _fitted_at: datetime | None = None
    _open: dict[_EpisodeKey, Episode] = field(default_factory=dict)

    def judge(self, whole: Facts, facts: Facts) -> list[Judged]:
        """Return what the kinds find in the orders of the day that `facts` is the morning of, and what became of it.

        `whole` reaches over the days after; of it only outcomes are seen.
        """
        zone = ZoneInfo(facts.zone)
        end = datetime.combine(facts.today + timedelta(days=1), datetime.min.time(), zone)
        past = sales.between(self.connection, facts.as_of, end)
        if not past:
            return []
        if self._newest is None or self._fitted_at is None or facts.as_of - self._fitted_at >= self.fit_every:
            self._newest, self._fitted_at = self._fitted(facts), facts.as_of
        catalogue = Catalogue(self.base_currency, self._newest)
        resolved = self._resolved(past, catalogue, zone)
        states = gather.CustomerStates({}, frozenset(each.customer_id for each in resolved), as_received=True)
        known = gather.gather(self.connection, resolved, states, catalogue, whole.assumptions, zone)
        of_id = {each.order_id: each for each in resolved}
        found: list[tuple[Signal, int, bool]] = []
        for each in known:
            found += self._found(of_id[each.order_id], each)
        return [judged for name in self.kinds for judged in self._outcomes(whole, facts, name, found)]

    def _found(self, order: ResolvedOrder, facts: OrderFacts) -> list[tuple[Signal, int, bool]]:
        """Return the signals of an order worth keeping, and whether each opens an episode; close those it answers."""
        reason = detect.skip_reason(order.order, order.customer, facts.as_of, has_rate=order.rate is not None)
        seen = detect.NOTHING_FOUND if reason is not None else detect.detect(self.kinds, facts)
        signals = (*seen.signals, *map(worded, seen.alone if self.with_alone else ()))
        mine = {key: each for key, each in self._open.items() if key[1] == facts.customer.id}
        keys = dict(enumerate(mine))
        ended = detect.ended(
            self.kinds, facts, signals, [(number, mine[key]) for number, key in keys.items()]
        )
        late = (
            key for key, each in mine.items() if each.opened_at + self.kinds[key[0]].episode_ttl < facts.as_of
        )
        for key in {*(keys[number] for number in ended), *late}:
            del self._open[key]
        found = []
        for each in signals:
            key = (each.kind, each.customer_id, each.subject)
            found.append((each, order.order_id, key not in self._open))
            self._open.setdefault(
                key, Episode(each.kind, facts.customer.id, each.subject, facts.as_of, each.product_id)
            )
        return found

    def _outcomes(
        self, whole: Facts, facts: Facts, name: str, found: Iterable[tuple[Signal, int, bool]]
    ) -> list[Judged]:
        """Look up what became of the findings of a kind, by the outcome that it states."""
        kind = self.kinds[name]
        own = [each for each in found if each[0].kind == name]
        rows = [
            {"customer_id": each.customer_id, "product_id": each.product_id, "order_id": order_id}
            | each.detail
            for each, order_id, _ in own
        ]
        names: list[str] = []
        seen: Mapping[tuple[object, ...], Seen] = {}
        if rows and kind.outcome is not None:
            given = whole.engine.load("said", pa.Table.from_pylist(rows).to_reader())
            names, seen = looked_up(whole.engine, kind.outcome(whole, facts.as_of, given))
        is_over = naive(facts.as_of + kind.outcome_within) <= naive(whole.as_of)
        judged = []
        for (signal, _, is_new), row in zip(own, rows, strict=True):
            then = seen.get(tuple(row[each] for each in names), NOBODY_KNOWS)
            others = tuple(row[each] for each in names if each != "customer_id") or (signal.subject,)
            judged.append(
                Judged(
                    day=facts.today,
                    kind=name,
                    key=(signal.customer_id, *others),
                    p0=signal.probability,
                    margin=float(signal.stake),
                    signal=signal,
                    is_new=is_new,
                    is_over=is_over,
                    happened=then.happened,
                    confirmed=then.confirmed,
                )
            )
        return judged

    def _resolved(
        self, past: list[sales.PastSale], catalogue: Catalogue, zone: ZoneInfo
    ) -> list[ResolvedOrder]:
        """Return the orders as they were resolved when they were applied."""
        days = {each.order_id: each.order.ordered_at.astimezone(zone).date() for each in past}
        catalogue.load(
            self.connection, {line.product_id for each in past for line in each.lines if line.product_id}
        )
        rates: set[tuple[str, date]] = {(each.order.currency, days[each.order_id]) for each in past}
        catalogue.load_rates(self.connection, rates)
        customers = orders.customers(self.connection, {each.customer_id for each in past})
        return [
            ResolvedOrder(
                orders.Revision(each.event_id, "", each.version, b"", each.order),
                customers[each.customer_id],
                catalogue.rate(each.order.currency, days[each.order_id]),
                tuple(
                    ResolvedLine(
                        number=line.number,
                        line=line.line,
                        product=None if line.product_id is None else catalogue[line.product_id],
                        base_net=line.base_net,
                        base_unit_cost=line.base_unit_cost,
                    )
                    for line in each.lines
                ),
                held=None,
                order_id=each.order_id,
            )
            for each in past
        ]

    def _fitted(self, facts: Facts) -> FitFacts:
        """Fit the models on the morning's facts, and put what they learnt where the catalogue reads it."""
        runs = {}
        for name in MODELS & self.models.keys():
            model = self.models[name]
            grade = model.grade(facts).as_json() if model.grade is not None else {}
            made = learnt(facts, [model])
            for table in model.keys:
                rows = made.predictions.table(table)
                if rows is not None:
                    self._put(table, facts, rows)
            runs[name] = ModelRun(RUN, facts.as_of, grade)
        return FitFacts(runs)

    def _put(self, table: str, facts: Facts, rows: Any) -> None:  # noqa: ANN401 - an ibis table
        """Write rows into a table of the session that stands before the published one of that name."""
        columns = {name: sql_type(kind) for name, kind in rows.schema().items()}
        names = ", ".join(f'"{each}"' for each in columns)
        told = ", ".join(f'"{name}" {kind}' for name, kind in columns.items())
        key = "product_id" if "product_id" in columns else "customer_id"
        for statement in (
            f'DROP TABLE IF EXISTS pg_temp."{table}"',
            f'CREATE TEMPORARY TABLE "{table}" (model_run_id bigint DEFAULT {RUN}, {told}) ON COMMIT DROP',
            f'CREATE INDEX ON pg_temp."{table}" ({key})',
        ):
            self.connection.execute(text(statement))
        driver = self.connection.connection.driver_connection
        assert isinstance(driver, PsycopgConnection)  # noqa: S101 - the one driver we use
        with driver.cursor() as cursor, cursor.copy(f'COPY pg_temp."{table}" ({names}) FROM STDIN') as copy:
            for batch in facts.engine.stream(rows):
                for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    copy.write_row(row)
