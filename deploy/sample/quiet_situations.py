"""Customers who go quiet or spend less, and those who only look so."""

from datetime import date, timedelta

from deploy.sample.parts import ANY_TRADE, Bill, Part, Purchase, Scene

# Mean working days between the orders of somebody who orders often enough to be missed.
OFTEN = 7.0
YEAR = timedelta(days=364)
# When an irregular customer paused before: days ago, the first day of each pause.
PAUSES_BEGAN = (640, 530, 425, 310, 190)


def gone_quiet(scene: Scene) -> Part:
    """A regular customer stops."""
    stops = scene.ago(48 + 3 * scene.number)
    return Part(
        "gone_quiet",
        "going_quiet",
        "ordered about every ten days, then stopped",
        since=stops,
        cadence=OFTEN,
        size=1.5,
        stops=stops,
        kind="going_quiet",
    )


def closed_every_year(scene: Scene) -> Part:
    """Closed for seven weeks, as a year ago."""
    first, end = scene.ago(40), scene.last_day + timedelta(days=10)
    return Part(
        "closed_every_year",
        note="closes for seven weeks at this time of every year",
        since=first,
        cadence=OFTEN,
        size=1.5,
        closed=tuple((first - years * YEAR, end - years * YEAR) for years in range(3)),
        kind="going_quiet",
    )


def branch_orders_instead(scene: Scene) -> Part:
    """The head office orders no more: its new branch does."""
    stops = scene.ago(55 + 3 * scene.number)
    return Part(
        "branch_orders_instead",
        note="orders no more itself; a branch of it began when it stopped",
        since=stops,
        cadence=OFTEN,
        size=1.5,
        stops=stops,
        kind="going_quiet",
        branch="branch_of_quiet_head",
    )


def branch_of(head: Part) -> Part:
    """The branch that orders what its head office ordered."""
    return Part(
        head.branch,
        note="orders in place of its head office",
        since=head.stops,
        cadence=head.cadence,
        size=head.size,
        starts=head.stops,
    )


def irregular_as_ever(scene: Scene) -> Part:
    """Long pauses are nothing new here."""
    rng = scene.rng
    pauses = tuple(_days(scene.ago(began), rng.randint(52, 70)) for began in PAUSES_BEGAN)
    return Part(
        "irregular_as_ever",
        note="no order for six weeks, but five pauses longer than that in two years",
        since=scene.ago(42),
        cadence=7,
        regularity=1.3,
        size=1.5,
        closed=(*pauses, _days(scene.ago(42), 60)),
        kind="going_quiet",
    )


def season_over(scene: Scene) -> Part:
    """Works in the season, and the season is over."""
    off = {scene.ago(days).month for days in range(-60, 46)}
    return Part(
        "season_over",
        note="orders all through its season and nothing in these months, last year neither",
        since=scene.ago(45),
        cadence=6,
        size=1.5,
        months=frozenset(range(1, 13)) - off,
        kind="going_quiet",
    )


def spend_halved(scene: Scene) -> Part:
    """Comes as often as ever, and takes less than a third."""
    return Part(
        "spend_halved",
        "spend_drop",
        "orders as often as before, in less than a third of the quantities",
        since=scene.ago(110 + 5 * scene.number),
        staples=scene.everyday(4),
        staple_share=1.0,
        cadence=4,
        regularity=6,
        size=2.5,
        shrinks_to=0.25,
        kind="spend_drop",
    )


def big_project_a_year_ago(scene: Scene) -> Part:
    """One large order lifts last year's average."""
    project = scene.ago(280 + 20 * scene.number)
    goods = scene.everyday(6)
    return Part(
        "big_project_a_year_ago",
        note="one project order ten months ago, worth a year of its usual ones, and nothing changed since",
        since=project,
        cadence=5,
        regularity=6,
        purchases=tuple(Purchase(project, each, 40 * each.family.usual_quantity) for each in goods),
        kind="spend_drop",
    )


def _days(first: date, length: int) -> tuple[date, date]:
    return first, first + timedelta(days=length)


BILL: Bill = (
    (closed_every_year, 3, ANY_TRADE),
    (branch_orders_instead, 3, ANY_TRADE),
    (irregular_as_ever, 3, ANY_TRADE),
    (season_over, 3, ANY_TRADE),
    (spend_halved, 5, ANY_TRADE),
    (big_project_a_year_ago, 3, ("Electrician", "Facility manager", "Workshop")),
)
