"""Customers who buy in one month of the year, and those who come seldom: their silence is no news."""

from datetime import timedelta

from deploy.sample.parts import Part, Scene


def november_buyer(scene: Scene) -> Part:
    """Festive lights every November."""
    is_due = scene.last_day.month == 10
    return Part(
        "november_buyer",
        "seasonal_repurchase" if is_due else "quiet",
        "buys festive lights in November and nothing else all year",
        "Garden and grounds",
        staples=scene.catalogue.by_family["xmaslight"][:3:2],
        cadence=8,
        months=frozenset({11}),
        buys_staples_only=True,
        kind="seasonal_repurchase",
    )


def season_ahead(scene: Scene) -> Part:
    """Orders in one month of the year, and that month is near."""
    return Part(
        "season_ahead",
        "seasonal_repurchase",
        "buys only in the calendar month that lies three weeks ahead",
        staples=scene.everyday(2),
        regularity=6,
        cadence=4,
        months=frozenset({(scene.last_day + timedelta(days=24)).month}),
        kind="seasonal_repurchase",
    )


def slow_but_regular(_: Scene) -> Part:
    """Seldom, but always on time: silence is normal."""
    return Part(
        "slow_but_regular",
        note="orders every two months, and is on time",
        cadence=42,
        regularity=14,
        kind="going_quiet",
    )
