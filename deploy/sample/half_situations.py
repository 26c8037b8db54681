"""Customers who took half of what they always take of an item, and those of whom it only looks so."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

from deploy.sample.catalogue import Product
from deploy.sample.goods import dearest, in_trade, quantity_earning
from deploy.sample.parts import ANY_TRADE, Bill, Part, Purchase, Scene

CADENCE = 7.0
# Euro of margin in the usual quantity of the item.
USUAL_MARGIN = 150
# Calendar days between two purchases of it, and how regular they are.
USED_UP_IN = 28.0
STEADINESS = 10.0
FIRST_PURCHASE_AGO = 640
TOOK = 0.4
# Shares of the usual that an account takes whose quantities never are the same, the last first.
ANYHOW = (0.4, 1.3, 0.35, 1.0, 1.6, 0.3, 0.9, 1.5)


def half_taken(scene: Scene) -> Part:
    """Two fifths of the usual, three weeks ago, and nothing since."""
    taken = ((20 + scene.number, TOOK),)
    return _part(
        "half_taken", "two fifths of the usual quantity of an item, and nothing of it since", scene, taken
    )


def made_up_for(scene: Scene) -> Part:
    """Two fifths of the usual, and the usual ten days later."""
    note = "two fifths of the usual quantity of an item, and the whole of it ten days later"
    return _part("made_up_for", note, scene, ((15, 1.0), (25, TOOK)), is_decoy=True)


def split_in_two(scene: Scene) -> Part:
    """One purchase in two deliveries."""
    note = "the usual quantity of an item in two orders, a week apart"
    return _part("split_in_two", note, scene, ((16, 0.5), (23, 0.5)), is_decoy=True)


def quantities_vary(scene: Scene) -> Part:
    """Two fifths of the mean is nothing new here."""
    note = "two fifths of its mean quantity of an item, as it has taken now and then all along"
    return _part("quantities_vary", note, scene, ((20, TOOK),), is_decoy=True, shares=ANYHOW[1:])


def _part(
    situation: str,
    note: str,
    scene: Scene,
    lately: Sequence[tuple[int, float]],
    *,
    is_decoy: bool = False,
    shares: Sequence[float] = (1.0,),
) -> Part:
    """A customer who takes an item every four weeks: `lately` by days ago and share, before that by `shares`."""
    item = _item(scene)
    usual = quantity_earning(USUAL_MARGIN, item, scene)
    last = [Purchase(scene.ago(days), item, max(1, round(share * usual))) for days, share in lately]
    return Part(
        situation,
        "quiet" if is_decoy else "half_usual",
        note,
        item.sku,
        last[-1].day,
        cadence=CADENCE,
        refuses=frozenset({item.family.key}),
        purchases=(*last, *_before(scene, item, usual, shares)),
        kind="half_usual",
    )


def _before(scene: Scene, item: Product, usual: int, shares: Sequence[float]) -> Iterator[Purchase]:
    """What was taken before, the last first."""
    rng = scene.rng
    ago, place = 48.0, 0
    while ago < FIRST_PURCHASE_AGO:
        yield Purchase(
            scene.last_day - timedelta(days=round(ago)),
            item,
            max(1, round(shares[place % len(shares)] * usual)),
        )
        ago += max(10.0, rng.gammavariate(STEADINESS, USED_UP_IN / STEADINESS))
        place += 1


def _item(scene: Scene) -> Product:
    """One of the dearest items of which ten or more are usual."""
    found = [each for each in dearest(in_trade(scene)) if quantity_earning(USUAL_MARGIN, each, scene) >= 10]
    return found[scene.number]


BILL: Bill = (
    (half_taken, 5, ANY_TRADE),
    (made_up_for, 3, ANY_TRADE),
    (split_in_two, 3, ANY_TRADE),
    (quantities_vary, 3, ANY_TRADE),
)
