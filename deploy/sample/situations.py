"""The situations planted in the sample company, each given to customers who are otherwise ordinary."""

from datetime import date, timedelta
from random import Random

from deploy.sample import last_day_situations
from deploy.sample.catalogue import COST_RISE_DAYS_AGO, DEARER_FAMILIES, Catalogue
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene
from deploy.sample.people import Customer

# Mean working days between the orders of somebody who orders often enough to be missed.
OFTEN = 7.0


def price_erosion(scene: Scene) -> Part:
    """Every month the same goods are sold a little cheaper."""
    note = "pays about 1.7 points less every month for the same goods"
    since = scene.ago(150)
    return Part(
        "price_erosion", "margin_erosion", note, None, since, scene.everyday(4), cadence=5, creeps=True
    )


def cost_not_passed_on(scene: Scene) -> Part:
    """The supplier raised paper; this account kept its price."""
    note = "paper cost rose 15 %; this account still pays the old contract price"
    paper = tuple(scene.catalogue.by_family[key][2] for key in DEARER_FAMILIES)
    since = scene.ago(COST_RISE_DAYS_AGO)
    return Part(
        "cost_not_passed_on",
        "cost_not_passed_on",
        note,
        paper[0].sku,
        since,
        paper,
        cadence=4,
        lines=3,
        prices_frozen=True,
    )


def gone_quiet(scene: Scene) -> Part:
    """A regular customer stops."""
    stops = scene.ago(48 + 3 * scene.number)
    note = "ordered about every ten days, then stopped"
    return Part("gone_quiet", "overdue", note, None, stops, cadence=OFTEN, stops=stops)


def dropped_category(scene: Scene) -> Part:
    """A customer goes on ordering, but nothing of one category."""
    category = SIDELINES[scene.customer.trade]
    staples = scene.everyday(3, category) + scene.everyday(2)
    families = frozenset(
        key for key, all_of in scene.catalogue.by_family.items() if all_of[0].category == category
    )
    note = "still orders, but nothing of this category any more"
    return Part(
        "dropped_category", "stopped_item", note, category, scene.ago(85), staples, cadence=5, drops=families
    )


def dropped_item(scene: Scene) -> Part:
    """A customer goes on ordering, but not its regular item."""
    staple = scene.everyday(3)[scene.number % 3]
    note = "a regular item of this customer that it no longer orders; everything else goes on"
    families = frozenset({staple.family.key})
    return Part(
        "dropped_item", "stopped_item", note, staple.sku, scene.ago(80), (staple,), cadence=5, drops=families
    )


def november_buyer(scene: Scene) -> Part:
    """Festive lights every November."""
    lights = scene.catalogue.by_family["xmaslight"][:3:2]
    is_due = scene.last_day.month == 10
    expect = "seasonal_repurchase" if is_due else "quiet"
    note = "buys festive lights in November and nothing else all year"
    return Part(
        "november_buyer",
        expect,
        note,
        "Garden and grounds",
        None,
        lights,
        cadence=8,
        month=11,
        buys_staples_only=True,
    )


def season_ahead(scene: Scene) -> Part:
    """Orders in one month of the year, and that month is near."""
    month = (scene.last_day + timedelta(days=24)).month
    note = "buys only in the calendar month that lies three weeks ahead"
    return Part(
        "season_ahead", "seasonal_repurchase", note, None, None, scene.everyday(2), cadence=7, month=month
    )


def slow_but_regular(_: Scene) -> Part:
    """Seldom, but always on time: silence is normal."""
    return Part("slow_but_regular", "quiet", "orders every two months, and is on time", cadence=42)


SIDELINES = {
    "Electrician": "Lighting",
    "Builder": "Safety wear",
    "Workshop": "Safety wear",
    "Facility manager": "Lighting",
}

BILL: Bill = (
    (cost_not_passed_on, 5, ("Facility manager",)),
    (november_buyer, 8, ("Facility manager", "Landscaper")),
    (dropped_category, 5, tuple(SIDELINES)),
    *last_day_situations.BILL,
    (price_erosion, 6, ANY_TRADE),
    (gone_quiet, 10, ANY_TRADE),
    (dropped_item, 5, ANY_TRADE),
    (season_ahead, 4, ANY_TRADE),
    (slow_but_regular, 4, ("Electrician", "Facility manager", "Workshop")),
)


def cast(seed: int, customers: tuple[Customer, ...], catalogue: Catalogue, last_day: date) -> dict[str, Part]:
    """Give every situation its customers. Who plays what depends on the seed alone, not on the date."""
    free = [each for each in customers if _is_ordinary(each)]
    Random(f"{seed}:cast").shuffle(free)
    parts: dict[str, Part] = {}
    for maker, count, trades in BILL:
        chosen = [each for each in free if not trades or each.trade in trades][:count]
        for number, customer in enumerate(chosen):
            parts[customer.id] = maker(Scene(catalogue, customer, last_day, number))
            free.remove(customer)
    return parts


def _is_ordinary(customer: Customer) -> bool:
    """Mid-sized, euro, on the price list, there since before the history began."""
    return (
        customer.status == "active"
        and not (customer.is_internal or customer.is_test or customer.is_unassigned or customer.parent_id)
        and customer.region.currency == "EUR"
        and customer.tier == 0
        and customer.is_old
        and 0.6 < customer.weight < 3
    )
