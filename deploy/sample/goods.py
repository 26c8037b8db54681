"""Goods that a planted situation is about: what a trade lives on, what makes large lines, what is out of season."""

from collections.abc import Iterable
from decimal import ROUND_CEILING, Decimal

from deploy.sample.catalogue import Product
from deploy.sample.families import FAMILIES
from deploy.sample.parts import Scene
from deploy.sample.seasons import appetite
from deploy.sample.trades import main_categories

# Seasons that are over are over for so many days, having been at their best so many days ago.
OVER_FOR_DAYS = 40
BEST_DAYS_AGO = 130


def in_trade(scene: Scene) -> list[Product]:
    """The all-year products the trade lives on, in every size."""
    categories = main_categories(scene.customer.trade)
    return [
        each
        for each in scene.catalogue.products
        if each.category in categories and not each.family.season and each.is_active and each.stock > 200
    ]


def dearest(products: Iterable[Product]) -> list[Product]:
    """Products without breaks, those first that make the largest lines."""
    plain = (each for each in products if not each.breaks)
    return sorted(plain, key=lambda each: -each.prices[-1].amount * each.family.usual_quantity)


def unit_margin(product: Product, scene: Scene) -> Decimal:
    """What one unit earns at the list price."""
    return product.price_on(scene.last_day) - product.cost_on(scene.last_day)


def margin_rate(product: Product, scene: Scene) -> Decimal:
    """The share of the list price that is margin."""
    return unit_margin(product, scene) / product.price_on(scene.last_day)


def quantity_earning(amount: int, product: Product, scene: Scene) -> int:
    """The fewest units that earn this many euro together."""
    return max(1, int((amount / unit_margin(product, scene)).to_integral_value(ROUND_CEILING)))


def out_of_season(scene: Scene) -> tuple[Product, ...]:
    """The everyday size of families whose season was at its best four months ago and is over now."""
    best, now = scene.ago(BEST_DAYS_AGO), scene.last_day

    def fall(season: str) -> float:
        over = max(appetite(season, scene.ago(OVER_FOR_DAYS)), appetite(season, now))
        return appetite(season, best) - over

    season = max(sorted({each.season for each in FAMILIES if each.season}), key=fall)
    return tuple(
        scene.catalogue.by_family[each.key][2]
        for each in FAMILIES
        if each.season == season and scene.catalogue.by_family[each.key][2].is_active
    )
