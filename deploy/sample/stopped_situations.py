"""Customers who go on ordering but stopped an item or a category, and those who only look so."""

from deploy.sample.catalogue import ENDED_DAYS_AGO, ENDED_FAMILIES
from deploy.sample.goods import OVER_FOR_DAYS, dearest, in_trade, out_of_season, quantity_earning
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene

SIDELINES = {
    "Electrician": "Lighting",
    "Builder": "Safety wear",
    "Workshop": "Safety wear",
    "Facility manager": "Lighting",
}
# Euro of margin that each purchase of a regular item earns.
ITEM_MARGIN = 32


def dropped_category(scene: Scene) -> Part:
    """A customer goes on ordering, but nothing of one category."""
    category = SIDELINES[scene.customer.trade]
    wanted = scene.everyday(3, category)
    return Part(
        "dropped_category",
        "stopped_category",
        "still orders, but nothing of this category any more",
        category,
        scene.ago(85),
        wanted + scene.everyday(2),
        usual=tuple((each.sku, quantity_earning(ITEM_MARGIN, each, scene)) for each in wanted),
        cadence=5,
        drops=_families(scene, category),
        kind="stopped_category",
    )


def dropped_item(scene: Scene) -> Part:
    """A customer goes on ordering, but not its regular item."""
    staple = scene.everyday(3)[scene.number % 3]
    return Part(
        "dropped_item",
        "stopped_item",
        "a regular item of this customer that it no longer orders; everything else goes on",
        staple.sku,
        scene.ago(80),
        (staple,),
        usual=((staple.sku, quantity_earning(ITEM_MARGIN, staple, scene)),),
        cadence=5,
        drops=frozenset({staple.family.key}),
        kind="stopped_item",
    )


def item_discontinued(scene: Scene) -> Part:
    """Its regular item is sold no more, to anybody."""
    families = scene.catalogue.by_family
    item = families[ENDED_FAMILIES[scene.number]][4]
    return Part(
        "item_discontinued",
        note="its regular item was discontinued; nobody buys it any more",
        subject=item.sku,
        since=scene.ago(ENDED_DAYS_AGO),
        staples=(item,),
        usual=((item.sku, quantity_earning(ITEM_MARGIN, item, scene)),),
        cadence=5,
        kind="stopped_item",
    )


def variant_instead(scene: Scene) -> Part:
    """Buys the better grade of the same thing now."""
    item = scene.everyday(3)[scene.number]
    (variant,) = scene.catalogue.substitutes[item.sku]
    quantity = quantity_earning(ITEM_MARGIN, item, scene)
    return Part(
        "variant_instead",
        note="its regular item gave way to the other grade of the same thing, in the same quantities",
        subject=item.sku,
        since=scene.ago(90),
        staples=(item,),
        usual=((item.sku, quantity), (variant.sku, quantity)),
        cadence=5,
        switches=((item, variant),),
        kind="stopped_item",
    )


def item_out_of_season(scene: Scene) -> Part:
    """A seasonal item, and its season is over."""
    item = out_of_season(scene)[scene.number]
    return Part(
        "item_out_of_season",
        note="bought all through its season, as a year ago; everything else goes on",
        subject=item.sku,
        since=scene.ago(OVER_FOR_DAYS),
        staples=(item,),
        usual=((item.sku, quantity_earning(ITEM_MARGIN, item, scene)),),
        cadence=5,
        kind="stopped_item",
    )


def category_out_of_season(scene: Scene) -> Part:
    """A category of seasonal goods, and their season is over."""
    category = out_of_season(scene)[0].category
    goods = tuple(each for each in out_of_season(scene) if each.category == category)[:3]
    other = _families(scene, category) - {each.family.key for each in goods}
    return Part(
        "category_out_of_season",
        note="buys of this category what has a season, and the season is over; everything else goes on",
        subject=category,
        since=scene.ago(OVER_FOR_DAYS),
        staples=(*goods, *dearest(in_trade(scene))[:1]),
        usual=tuple((each.sku, quantity_earning(ITEM_MARGIN, each, scene)) for each in goods),
        cadence=5,
        refuses=other,
        kind="stopped_category",
    )


def _families(scene: Scene, category: str) -> frozenset[str]:
    return frozenset(key for key, goods in scene.catalogue.by_family.items() if goods[0].category == category)


BILL: Bill = (
    (item_discontinued, 3, ANY_TRADE),
    (variant_instead, 2, ANY_TRADE),
    (item_out_of_season, 2, ANY_TRADE),
    (category_out_of_season, 2, ("Electrician", "Builder", "Workshop", "Facility manager", "Plumber")),
)
