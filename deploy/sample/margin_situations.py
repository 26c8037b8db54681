"""Accounts that leak margin by creeping or odd discounts or old prices, and those that only look so."""

from decimal import Decimal

from deploy.sample.catalogue import COST_RISE_DAYS_AGO, DEARER_FAMILIES, Product
from deploy.sample.goods import in_trade, margin_rate
from deploy.sample.parts import ANY_TRADE, Bill, Part, Scene, Terms

POINT_A_MONTH = Decimal("0.01")
EROSION_DAYS = 270
ODD_DISCOUNT = Decimal("0.18")
AGREED_DISCOUNT = Decimal("0.12")
MIX_DAYS = 150


def price_erosion(scene: Scene) -> Part:
    """Every month the same goods are sold a little cheaper."""
    since = scene.ago(EROSION_DAYS)
    return Part(
        "price_erosion",
        "margin_erosion",
        "gets a point more discount every month on the same goods",
        since=since,
        staples=scene.everyday(4),
        cadence=5,
        size=1.8,
        terms=Terms(since=since, creeping=POINT_A_MONTH),
        kind="margin_erosion",
    )


def erosion_on_half(scene: Scene) -> Part:
    """The same, on half of the goods: every other family."""
    since = scene.ago(EROSION_DAYS)
    goods = scene.everyday(4)
    families = frozenset(list(scene.catalogue.by_family)[::2]) | {each.family.key for each in goods[::2]}
    return Part(
        "erosion_on_half",
        "margin_erosion",
        "gets a point more discount every month on half of its goods",
        since=since,
        staples=goods,
        cadence=4,
        size=3.5,
        terms=Terms(
            since=since,
            creeping=POINT_A_MONTH,
            creeping_on=families - {each.family.key for each in goods[1::2]},
        ),
        kind="margin_erosion",
    )


def poorer_mix(scene: Scene) -> Part:
    """Pays what it always paid, and buys what earns less."""
    ranked = sorted(in_trade(scene), key=lambda each: margin_rate(each, scene))
    poor, rich = ranked[:3], ranked[-3:]
    return Part(
        "poorer_mix",
        note="its margin fell: it moved to goods that earn less, at the prices everybody pays",
        since=scene.ago(MIX_DAYS),
        staples=tuple(rich),
        staple_share=1.0,
        lines=1.2,
        cadence=4,
        size=1.8,
        switches=tuple(zip(rich, poor, strict=True)),
        kind="margin_erosion",
    )


def cost_rise_for_all(scene: Scene) -> Part:
    """Its margin rate fell with everybody's: the list followed the cost by as much money, not by as much rate."""
    return Part(
        "cost_rise_for_all",
        note="its margin rate fell by three points, as everybody's who buys paper did; it pays the list price",
        since=scene.ago(COST_RISE_DAYS_AGO),
        staples=_paper(scene),
        cadence=4,
        lines=1.5,
        size=1.5,
        kind="margin_erosion",
    )


def odd_discount(scene: Scene) -> Part:
    """A discount nobody else of its size gets."""
    return Part(
        "odd_discount",
        "discount_outlier",
        "gets 18 % off everything since ever; others who buy as much get nothing to ten",
        staples=scene.everyday(3),
        cadence=5,
        size=1.5,
        terms=Terms(discount=ODD_DISCOUNT),
        kind="discount_outlier",
    )


def bulk_buyer(scene: Scene) -> Part:
    """Pays little apiece because of the quantities it takes."""
    goods = [each for each in in_trade(scene) if len(each.breaks) > 1][scene.number :: 3][:3]
    return Part(
        "bulk_buyer",
        note="pays up to 11 % under the list for single pieces: the break of the large quantities it takes",
        staples=tuple(goods),
        usual=tuple((each.sku, 2 * each.breaks[-1][0]) for each in goods),
        cadence=9,
        lines=1.2,
        kind="discount_outlier",
    )


def agreed_discount(scene: Scene) -> Part:
    """A low price by written agreement."""
    goods = scene.everyday(3)
    skus = frozenset(each.sku for each in goods)
    return Part(
        "agreed_discount",
        note="pays 12 % under the list on three products, by an agreement of last year",
        subject=goods[0].sku,
        since=scene.ago(400),
        staples=goods,
        cadence=5,
        size=1.5,
        terms=Terms(
            since=scene.ago(400), frozen=skus, discount=AGREED_DISCOUNT, discounted=skus, is_agreed=True
        ),
        kind="discount_outlier",
    )


def cost_not_passed_on(scene: Scene) -> Part:
    """The supplier raised paper; this account kept its price."""
    return _paper_at_old_prices(
        scene,
        "cost_not_passed_on",
        "paper cost rose 15 %; this account still pays the old price, and nothing was agreed",
        is_agreed=False,
    )


def cost_passed_on(scene: Scene) -> Part:
    """The supplier raised paper, and this account paid more from the twentieth day on."""
    paper = _paper(scene)
    return Part(
        "cost_passed_on",
        note="paper cost rose 15 %; this account pays as much more since the list followed after 20 days",
        subject=paper[0].sku,
        since=scene.ago(COST_RISE_DAYS_AGO),
        staples=paper,
        cadence=4,
        lines=3,
        kind="cost_not_passed_on",
    )


def contract_price(scene: Scene) -> Part:
    """The supplier raised paper; a contract holds this account's price for some months more."""
    return _paper_at_old_prices(
        scene,
        "contract_price",
        "paper cost rose 15 %; a contract holds this account's price for some months more",
        is_agreed=True,
    )


def _paper(scene: Scene) -> tuple[Product, ...]:
    return tuple(scene.catalogue.by_family[key][2] for key in DEARER_FAMILIES)


def _paper_at_old_prices(scene: Scene, situation: str, note: str, *, is_agreed: bool) -> Part:
    paper = _paper(scene)
    since = scene.ago(COST_RISE_DAYS_AGO)
    return Part(
        situation,
        "quiet" if is_agreed else "cost_not_passed_on",
        note,
        paper[0].sku,
        since,
        paper,
        cadence=4,
        lines=3,
        size=1.5,
        terms=Terms(since=since, frozen=frozenset(each.sku for each in paper), is_agreed=is_agreed),
        kind="cost_not_passed_on",
    )


BILL: Bill = (
    (cost_passed_on, 2, ("Facility manager",)),
    (contract_price, 2, ("Facility manager",)),
    (cost_rise_for_all, 2, ("Facility manager", "Workshop", "Landscaper")),
    (erosion_on_half, 4, ANY_TRADE),
    (poorer_mix, 3, ANY_TRADE),
    (bulk_buyer, 2, ANY_TRADE),
    (agreed_discount, 2, ANY_TRADE),
)
