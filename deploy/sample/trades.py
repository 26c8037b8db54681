"""The trades the sample company serves: what each one buys, and the pair of products its everyday job needs."""

from random import Random

from deploy.sample.catalogue import Catalogue, Product

# How many of a hundred customers follow each trade.
SHARES = {
    "Electrician": 21,
    "Plumber": 17,
    "Builder": 17,
    "Decorator": 11,
    "Facility manager": 13,
    "Landscaper": 10,
    "Workshop": 11,
}
# How much of each category a trade buys; of all others, hardly anything.
WANTS: dict[str, dict[str, float]] = {
    "Electrician": {"Electrical": 10, "Lighting": 5, "Tools": 1, "Fixings": 1.2, "Safety wear": 0.5},
    "Plumber": {"Plumbing": 10, "Heating": 5, "Sealants and paint": 0.8, "Tools": 0.8, "Fixings": 0.6},
    "Builder": {"Fixings": 8, "Tools": 4, "Sealants and paint": 3, "Safety wear": 3, "Plumbing": 0.5},
    "Decorator": {"Sealants and paint": 10, "Tools": 1.5, "Cleaning": 1, "Safety wear": 1, "Fixings": 0.8},
    "Facility manager": {
        "Cleaning": 8, "Lighting": 3, "Plumbing": 1, "Safety wear": 1, "Garden and grounds": 1,
    },
    "Landscaper": {"Garden and grounds": 10, "Safety wear": 3, "Tools": 2, "Fixings": 1},
    "Workshop": {"Tools": 7, "Safety wear": 5, "Cleaning": 2, "Fixings": 3, "Electrical": 1},
}  # fmt: skip
HARDLY = 0.04
# The jobs that make a trade: most who buy the first also need the second.
STAPLE_PAIRS = {
    "Electrician": ("cable", "junction"),
    "Plumber": ("coppertube", "copperfit"),
    "Builder": ("anchor", "resin"),
    "Decorator": ("emulsion", "roller"),
    "Facility manager": ("papertowel", "soap"),
    "Landscaper": ("chainoil", "chain"),
    "Workshop": ("disc", "goggles"),
}


def affinities(seed: int, trade: str, catalogue: Catalogue) -> dict[str, float]:
    """How much a trade cares for each family."""
    wanted = WANTS[trade]
    return {
        key: wanted.get(products[0].category, HARDLY) * Random(f"{seed}:{trade}:{key}").lognormvariate(0, 0.9)
        for key, products in catalogue.by_family.items()
    }


def staple_pair(trade: str, catalogue: Catalogue) -> tuple[Product, Product]:
    """The trade's everyday product, in its second size, and what is needed with it."""
    trigger_family, needed_family = STAPLE_PAIRS[trade]
    trigger = next(p for p in catalogue.by_family[trigger_family] if p.size == 1 and p.grade == "Trade")
    return trigger, next(p for p in catalogue.complements[trigger.sku] if p.family.key == needed_family)


def everyday_products(catalogue: Catalogue, trade: str, category: str | None = None) -> tuple[Product, ...]:
    """Well-stocked products of this category, else of the trade's main one, that sell in every month."""
    wanted = WANTS[trade]
    category = category or max(wanted, key=lambda each: wanted[each])
    return tuple(
        products[2]
        for products in catalogue.by_family.values()
        if products[0].category == category and not products[0].family.season and products[2].is_active
    )


def main_categories(trade: str) -> frozenset[str]:
    """The categories a trade lives on."""
    return frozenset(category for category, weight in WANTS[trade].items() if weight >= 3)
