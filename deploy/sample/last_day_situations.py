"""Orders of the last day that could be larger, and ordinary ones."""

from decimal import ROUND_CEILING, Decimal

from deploy.sample import price_situations
from deploy.sample.catalogue import Product
from deploy.sample.goods import in_trade
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene, ScriptLine
from deploy.sample.trades import STAPLE_PAIRS, staple_pair

OFTEN = 8.0
# From this share of the break on, asking for the rest is a small step.
NEAR_THE_BREAK = Decimal("0.72")
SMALL_ORDER = Decimal(65)


def complement_missing(scene: Scene) -> Part:
    """The trigger is ordered again; what goes with it was never bought."""
    trigger, needed = staple_pair(scene.customer.trade, scene.catalogue)
    other = next(each for each in scene.everyday(9) if each.family not in (trigger.family, needed.family))
    quantity = trigger.family.usual_quantity
    return Part(
        "complement_missing",
        "cross_sell",
        f"buys {trigger.sku} all the time and again on the last day, never what four in five buy with it",
        needed.sku,
        None,
        (trigger, other),
        usual=((trigger.sku, quantity),),
        cadence=OFTEN,
        refuses=frozenset({needed.family.key}),
        script=(ScriptLine(trigger, quantity), ScriptLine(other, other.family.usual_quantity)),
        kind="cross_sell",
    )


def under_a_break(scene: Scene) -> Part:
    """An order a small step under a quantity break worth reaching."""
    product = _best(scene, _worth_lifting(scene))[scene.number]
    at = product.breaks[0][0]
    quantity = int((at * NEAR_THE_BREAK).to_integral_value(ROUND_CEILING))
    note = f"orders {quantity} where {at} would cost it less apiece and earn us more"
    return Part(
        "under_a_break",
        "up_sell",
        note,
        product.sku,
        None,
        (product,),
        usual=((product.sku, quantity),),
        cadence=OFTEN,
        script=(ScriptLine(product, quantity),),
        kind="up_sell",
    )


def break_would_cost_money(scene: Scene) -> Part:
    """An order just under a break that is better left alone."""
    products = [
        each for each in in_trade(scene) if each.breaks and _gain(each, each.breaks[0][0] - 1, scene) < 0
    ]
    product = products[scene.number]
    quantity = product.breaks[0][0] - 1
    return Part(
        "break_would_cost_money",
        "quiet",
        "one unit under a break that would earn us less than the order as it stands",
        product.sku,
        None,
        (product,),
        usual=((product.sku, quantity),),
        cadence=OFTEN,
        script=(ScriptLine(product, quantity),),
        kind="up_sell",
    )


def small_orders(scene: Scene) -> Part:
    """Orders far below those of its peers: a little of one staple each time, and so on the last day."""
    staple = scene.everyday(3)[2]
    # Its average stands a little above its usual order: now and then it takes twice as much.
    quantity = max(1, round(SMALL_ORDER / staple.price_on(scene.last_day)))
    return Part(
        "small_orders",
        "up_sell",
        "orders as often as its peers, a quarter of their usual value",
        None,
        None,
        (staple,),
        usual=((staple.sku, quantity),),
        cadence=7,
        lines=0.5,
        refuses=frozenset(each.family.key for each in scene.catalogue.complements[staple.sku]),
        buys_staples_only=True,
        script=(ScriptLine(staple, quantity + quantity // 8),),
        kind="up_sell",
    )


def nothing_to_say(scene: Scene) -> Part:
    """An ordinary order of an ordinary customer."""
    plain = [each for each in in_trade(scene) if not each.breaks][:3]
    needed = [also for each in plain for also in scene.catalogue.complements[each.sku]]
    usual = tuple((each.sku, each.family.usual_quantity) for each in plain)
    return Part(
        "nothing_to_say",
        "quiet",
        "usual goods in usual quantities at the usual price, with everything that goes with them bought before",
        None,
        None,
        (*plain, *needed, *staple_pair(scene.customer.trade, scene.catalogue)),
        usual=usual,
        cadence=5,
        size=1.8,
        script=tuple(ScriptLine(each, each.family.usual_quantity) for each in plain),
    )


BILL: Bill = (
    *((complement_missing, 1, (trade,)) for trade in STAPLE_PAIRS),
    (under_a_break, 5, ANY_TRADE),
    (break_would_cost_money, 2, ANY_TRADE),
    (small_orders, 3, ANY_TRADE),
    (price_situations.line_under_usual_margin, 3, ANY_TRADE),
    (price_situations.line_below_cost, 2, ANY_TRADE),
    (nothing_to_say, 6, ANY_TRADE),
)


def _worth_lifting(scene: Scene) -> list[Product]:
    return [each for each in in_trade(scene) if each.breaks and each.breaks[0][0] >= 10]


def _best(scene: Scene, products: list[Product]) -> list[Product]:
    """Those first whose break earns most beyond an order just under it."""
    return sorted(products, key=lambda each: -_gain(each, int(each.breaks[0][0] * NEAR_THE_BREAK) + 1, scene))


def _gain(product: Product, quantity: int, scene: Scene) -> Decimal:
    """What we earn more at the first break than at this quantity."""
    at = product.breaks[0][0]
    cost = product.cost_on(scene.last_day)
    lifted = at * (product.break_price_on(at, scene.last_day) - cost)
    return lifted - quantity * (product.break_price_on(quantity, scene.last_day) - cost)
