"""Quantity bands: prices are compared between purchases of like size only."""

import ibis


def band_start(quantity: ibis.Value) -> ibis.Value:
    """Return the least quantity of the band: 0, 1, 2, 3, 6, 12, 24, 48, 96 and on by doubling."""
    doublings = (ibis.greatest(quantity, 3.0) / 3.0).log2().floor()
    return ibis.cases(
        (quantity < 1, 0.0),
        (quantity < 2, 1.0),
        (quantity < 3, 2.0),
        else_=3.0 * ibis.literal(2.0).pow(doublings),
    )


def band_end(start: ibis.Value) -> ibis.Value:
    """Return the first quantity above the band that begins there."""
    return ibis.ifelse(start < 3, start + 1, start * 2)
