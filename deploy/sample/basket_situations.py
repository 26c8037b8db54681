"""Regular items that are due: forgotten on the last day's order or not ordered yet, and those that only look so."""

from collections.abc import Iterator
from datetime import date, timedelta

from deploy.sample.catalogue import Product
from deploy.sample.goods import dearest, in_trade, quantity_earning
from deploy.sample.parts import ANY_TRADE, Bill, Part, Purchase, Scene, ScriptLine

CADENCE = 7.0
# Euro of margin in the usual quantity of a regular item.
FORGOTTEN_MARGIN = 90
DUE_MARGIN = 95
# Calendar days between two purchases of an item that is used up steadily, and how regular they are.
USED_UP_IN = 28.0
STEADINESS = 10.0
FIRST_PURCHASE_AGO = 640


def usual_forgotten(scene: Scene) -> Part:
    """The item on nearly every order is missing on today's, and it is due."""
    item, bought = _item_and_another(scene)
    return Part(
        "usual_forgotten",
        "basket_gap",
        "an item on nineteen of twenty of its orders is missing on the last day's, two weeks after the last time",
        item.sku,
        scene.last_day,
        (item,),
        usual=_usual(scene, item, bought, FORGOTTEN_MARGIN),
        cadence=CADENCE,
        staple_share=0.95,
        closed=((scene.ago(18), scene.last_day),),
        purchases=_bought(scene.ago(16), item, scene),
        script=(ScriptLine(bought, bought.family.usual_quantity),),
        kind="basket_gap",
    )


def not_due_yet(scene: Scene) -> Part:
    """The item is missing on today's order because it came a few days ago."""
    item, bought = _item_and_another(scene)
    return Part(
        "not_due_yet",
        note="an item on nineteen of twenty of its orders is missing on the last day's: it came some days before",
        subject=item.sku,
        since=scene.last_day,
        staples=(item,),
        usual=_usual(scene, item, bought, FORGOTTEN_MARGIN),
        cadence=CADENCE,
        staple_share=0.95,
        purchases=_bought(scene.ago(5), item, scene),
        script=(ScriptLine(bought, bought.family.usual_quantity),),
        kind="basket_gap",
    )


def bought_this_morning(scene: Scene) -> Part:
    """The item is missing on the afternoon's order because the morning's held it."""
    item, bought = _item_and_another(scene)
    return Part(
        "bought_this_morning",
        note="an item on nineteen of twenty of its orders is missing on this one: an order hours before held it",
        subject=item.sku,
        since=scene.last_day,
        staples=(item,),
        usual=_usual(scene, item, bought, FORGOTTEN_MARGIN),
        cadence=CADENCE,
        staple_share=0.95,
        closed=((scene.ago(18), scene.last_day),),
        purchases=_bought(scene.ago(16), item, scene),
        morning_script=(ScriptLine(item, quantity_earning(FORGOTTEN_MARGIN, item, scene)),),
        script=(ScriptLine(bought, bought.family.usual_quantity),),
        kind="basket_gap",
    )


def due_again(scene: Scene) -> Part:
    """Used up by now, and not ordered yet."""
    item, _ = _item_and_another(scene)
    quantity = quantity_earning(DUE_MARGIN, item, scene)
    return Part(
        "due_again",
        "reorder_due",
        "bought about every four weeks in the same quantity, and five weeks ago the last time",
        item.sku,
        scene.ago(7),
        cadence=CADENCE,
        refuses=frozenset({item.family.key}),
        purchases=tuple(
            Purchase(day, item, quantity) for day in _used_up(scene, scene.ago(35 + scene.number % 2))
        ),
        kind="reorder_due",
    )


def stocked_up(scene: Scene) -> Part:
    """Bought double the last time: it lasts twice as long."""
    item, _ = _item_and_another(scene)
    quantity = quantity_earning(DUE_MARGIN, item, scene)
    days = list(_used_up(scene, scene.ago(33)))
    return Part(
        "stocked_up",
        note="bought about every four weeks; double the quantity the last time, a little more than four weeks ago",
        subject=item.sku,
        since=scene.ago(5),
        cadence=CADENCE,
        refuses=frozenset({item.family.key}),
        purchases=(
            Purchase(days[0], item, 2 * quantity),
            *(Purchase(day, item, quantity) for day in days[1:]),
        ),
        kind="reorder_due",
    )


def _item_and_another(scene: Scene) -> tuple[Product, Product]:
    """A regular item, and what the customer orders beside it."""
    found = dearest(in_trade(scene))
    item = found[scene.number]
    return item, next(each for each in found[6:] if each.family is not item.family)


def _usual(scene: Scene, item: Product, bought: Product, margin: int) -> tuple[tuple[str, int], ...]:
    return (item.sku, quantity_earning(margin, item, scene)), (bought.sku, bought.family.usual_quantity)


def _bought(day: date, item: Product, scene: Scene) -> tuple[Purchase, ...]:
    return (Purchase(day, item, quantity_earning(FORGOTTEN_MARGIN, item, scene)),)


def _used_up(scene: Scene, last: date) -> Iterator[date]:
    """The days of purchase, the last first."""
    rng = scene.rng
    day = last
    while day > scene.ago(FIRST_PURCHASE_AGO):
        yield day
        day -= timedelta(days=max(10, round(rng.gammavariate(STEADINESS, USED_UP_IN / STEADINESS))))


BILL: Bill = (
    (usual_forgotten, 5, ANY_TRADE),
    (not_due_yet, 2, ANY_TRADE),
    (bought_this_morning, 2, ANY_TRADE),
    (due_again, 5, ANY_TRADE),
    (stocked_up, 3, ANY_TRADE),
)
