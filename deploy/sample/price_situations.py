"""Lines of the last day sold below the floor or at a mistaken price, and those that only look so."""

from dataclasses import replace
from decimal import Decimal

from deploy.sample.catalogue import CHEAPER_FAMILIES, PRICE_CUT_DAYS_AGO, Product
from deploy.sample.goods import dearest, in_trade, margin_rate, quantity_earning
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene, ScriptLine, Terms

CADENCE = 8.0
# Products are sold at no less than this margin rate: what the product file says.
FLOOR_MARGIN = Decimal("0.05")
# Euro of margin in a line at its usual price.
LINE_MARGIN = 130
GIVEN_AWAY = Decimal(0)
AGREED_DISCOUNT = Decimal("0.22")


def line_under_usual_margin(scene: Scene) -> Part:
    """One line sold well under the usual price."""
    product = _rich(scene)[scene.number]
    note = "one line on the last day 18 % under the price this account pays, still above cost"
    return _mistake("line_under_usual_margin", "price_error", note, scene, product, Decimal("0.82"))


def mistyped_price(scene: Scene) -> Part:
    """One line at a price somebody typed wrong."""
    product = _rich(scene)[scene.number + 3]
    note = "one line on the last day 27 % under the price this account always paid, still above the floor"
    return _mistake("mistyped_price", "price_error", note, scene, product, Decimal("0.73"))


def line_below_cost(scene: Scene) -> Part:
    """One line sold below cost."""
    product = dearest(in_trade(scene))[scene.number + 4]
    share = (1 - margin_rate(product, scene)) * Decimal("0.94")
    note = "one line on the last day sold 6 % below cost"
    return _mistake("line_below_cost", "below_floor", note, scene, product, share)


def line_under_floor(scene: Scene) -> Part:
    """One line sold above cost, at less than the least margin."""
    product = dearest(in_trade(scene))[scene.number + 2]
    share = (1 - margin_rate(product, scene)) / (1 - Decimal("0.015"))
    note = "one line on the last day sold at a margin of 1.5 %, where 5 % is the least"
    return _mistake("line_under_floor", "below_floor", note, scene, product, share)


def free_goods(scene: Scene) -> Part:
    """Ten bought, two free."""
    product = dearest(in_trade(scene))[scene.number]
    part = _decoy("free_goods", "below_floor", "two pieces free with ten bought, as agreed", scene, product)
    return replace(part, script=(ScriptLine(product, 10), ScriptLine(product, 2, GIVEN_AWAY)))


def sample_given(scene: Scene) -> Part:
    """Goods to try, for nothing."""
    product = dearest(in_trade(scene))[scene.number + 1]
    part = _decoy("sample_given", "below_floor", "samples for nothing", scene, product)
    return replace(part, script=(ScriptLine(product, 1, GIVEN_AWAY),), order_kind="sample")


def replacement_sent(scene: Scene) -> Part:
    """The same goods again for nothing, for those that broke."""
    product = dearest(in_trade(scene))[scene.number + 2]
    part = _decoy("replacement_sent", "below_floor", "goods sent again for nothing", scene, product)
    return replace(part, script=(ScriptLine(product, 4, GIVEN_AWAY),), order_kind="replacement")


def clearance(scene: Scene) -> Part:
    """The last of goods that are sold no more, below cost on purpose."""
    ended = [each for each in scene.catalogue.products if not each.is_active and each.size == 2]
    product = ended[scene.number]
    share = ((1 - margin_rate(product, scene)) * Decimal("0.85")).quantize(Decimal("0.0001"))
    note = "the last of a discontinued product, sold below cost on purpose: the line's reason says clearance"
    part = _decoy("clearance", "below_floor", note, scene, product)
    return replace(part, script=(ScriptLine(product, 12, share),), line_reason="clearance")


def agreed_price(scene: Scene) -> Part:
    """A low price that was agreed, and paid ever since."""
    product = _rich(scene)[scene.number]
    skus = frozenset({product.sku})
    note = "one line far below what others pay, at the price agreed half a year ago"
    return replace(
        _decoy("agreed_price", "price_error", note, scene, product),
        script=(ScriptLine(product, _quantity(product, scene)),),
        terms=Terms(scene.ago(190), skus, AGREED_DISCOUNT, discounted=skus, is_agreed=True),
    )


def larger_quantity(scene: Scene) -> Part:
    """A lower price because of a quantity this account never took."""
    product = next(each for each in in_trade(scene)[scene.number :] if len(each.breaks) > 2)
    note = "one line far below this account's usual price: it takes a quantity whose break it never reached"
    return replace(
        _decoy("larger_quantity", "price_error", note, scene, product),
        usual=((product.sku, max(1, product.breaks[0][0] // 2)),),
        script=(ScriptLine(product, product.breaks[-1][0]),),
    )


def list_price_cut(scene: Scene) -> Part:
    """The list fell for everybody since the last time."""
    product = scene.catalogue.by_family[CHEAPER_FAMILIES[0]][2 * scene.number]
    note = "one line 15 % below this account's last price: the list fell for everybody three weeks ago"
    return replace(
        _decoy("list_price_cut", "price_error", note, scene, product),
        closed=((scene.ago(PRICE_CUT_DAYS_AGO), scene.last_day),),
        script=(ScriptLine(product, _quantity(product, scene)),),
    )


def _rich(scene: Scene) -> list[Product]:
    """Products that earn enough to be sold well under their price and still above the floor."""
    return dearest(each for each in in_trade(scene) if margin_rate(each, scene) > Decimal("0.34"))


def _quantity(product: Product, scene: Scene) -> int:
    return quantity_earning(LINE_MARGIN, product, scene)


def _mistake(
    situation: str, kind: str, note: str, scene: Scene, product: Product, price_share: Decimal
) -> Part:
    """A usual product in its usual quantity, on the last day at this share of its usual price."""
    quantity = _quantity(product, scene)
    return Part(
        situation,
        kind,
        note,
        product.sku,
        scene.last_day,
        (product,),
        usual=((product.sku, quantity),),
        cadence=CADENCE,
        script=(ScriptLine(product, quantity, price_share.quantize(Decimal("0.0001"))),),
        kind=kind,
    )


def _decoy(situation: str, kind: str, note: str, scene: Scene, product: Product) -> Part:
    """A product this customer buys all the time in the same quantity."""
    return Part(
        situation,
        note=note,
        subject=product.sku,
        since=scene.last_day,
        staples=(product,),
        usual=((product.sku, _quantity(product, scene)),),
        cadence=CADENCE,
        kind=kind,
    )


BILL: Bill = (
    (line_under_floor, 2, ANY_TRADE),
    (mistyped_price, 3, ANY_TRADE),
    (free_goods, 2, ANY_TRADE),
    (sample_given, 1, ANY_TRADE),
    (replacement_sent, 1, ANY_TRADE),
    (clearance, 2, ANY_TRADE),
    (agreed_price, 2, ANY_TRADE),
    (larger_quantity, 2, ANY_TRADE),
    (list_price_cut, 2, ANY_TRADE),
)
