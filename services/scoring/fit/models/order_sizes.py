"""Order sizes: how much customers of a segment order in a day, and what the larger ones among them do."""

from collections.abc import Iterator
from datetime import timedelta

import ibis

from services.scoring.fit.facts import Facts, naive
from services.scoring.fit.model import Derived, Model

RECENT = timedelta(days=365)
EVERYBODY = "*"


def build(facts: Facts) -> Iterator[Derived]:
    """Yield a row for each segment and one for everybody, in base currency."""
    lines = facts.accounts.filter(
        (facts.accounts.at >= naive(facts.as_of - RECENT)) & facts.accounts.base_net.notnull()
    )
    # in ten-thousandths: sums of integers do not depend on their order
    days = lines.group_by("customer_id").agg(
        total=(lines.base_net * 10_000).round().cast("int64").sum().cast("float64"), days=lines.day.nunique()
    )
    sized = days.mutate(size=days.total / days.days / 10_000).join(facts.customers, "customer_id")
    everybody = sized.mutate(segment=ibis.literal(EVERYBODY))
    placed = sized.select("segment", "size").union(everybody.select("segment", "size"))
    yield Derived(
        "order_size",
        placed.group_by("segment").agg(
            customers=placed.count(), p60=placed["size"].quantile(0.6), p75=placed["size"].quantile(0.75)
        ),
    )


MODEL = Model("order_sizes", build, keys={"order_size": ("segment",)})
