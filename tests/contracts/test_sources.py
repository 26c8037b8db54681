"""What every source promises: it believes nobody unsigned, reads what it was made for, and fails in one way only."""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.source import InvalidOrder, ReadContext, Source, all_sources
from shared.domain.order import digest
from shared.signing import SignatureFault, new_secret, sign

SOURCES = list(all_sources().values())
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
CONTEXT = ReadContext("standard", ZoneInfo("UTC"), "EUR", NOW)

RECORDED = {
    "standard": (
        (
            b'{"type":"order.created","timestamp":"2025-11-21T15:59:58.120Z","data":{"id":"ord_1001","number":"1001",'
            b'"ordered_at":"2025-11-21T15:59:58Z","currency":"EUR","status":"confirmed","customer":{"id":"cus_77",'
            b'"name":"Contoso GmbH"},"lines":[{"id":"l1","sku":"WID-1","title":"Widget","category":"Hardware",'
            b'"quantity":"3","unit_price":"19.90","discount":"5.97","tax":"10.21","cost":"11.00"}],'
            b'"totals":{"subtotal":"59.70","discount":"5.97","tax":"10.21","total":"63.94"}}}'
        ),
        "53.73",
    )
}
"""For each source a message as its sender sends it, and what the order in it brings in."""

SIGNED: dict[str, Callable[[bytes, str], dict[str, str]]] = {
    "standard": lambda body, secret: sign("msg_1", NOW, body, [secret])
}
"""For each source how its sender signs."""


@pytest.fixture(params=SOURCES, ids=lambda source: source.name)
def source(request: pytest.FixtureRequest) -> Source:
    found: Source = request.param
    return found


def test_has_a_recorded_message_and_a_way_to_sign(source: Source) -> None:
    assert source.name in RECORDED
    assert source.name in SIGNED


def test_reads_its_recorded_message_to_the_penny(source: Source) -> None:
    body, net = RECORDED[source.name]
    order = source.read(body, CONTEXT)
    assert order.net == Decimal(net)
    assert order.source == CONTEXT.source
    assert order.ordered_at.tzinfo is UTC


def test_reads_the_same_twice(source: Source) -> None:
    body, _ = RECORDED[source.name]
    assert digest(source.read(body, CONTEXT)) == digest(source.read(body, CONTEXT))


def test_believes_its_sender_under_any_active_secret(source: Source) -> None:
    body, _ = RECORDED[source.name]
    old, new = new_secret(), new_secret()
    for secret in (old, new):
        assert source.verify(SIGNED[source.name](body, secret), body, [new, old], NOW)


@pytest.mark.parametrize("secrets", [[], [new_secret()]], ids=["no secret", "another secret"])
def test_believes_nobody_else(source: Source, secrets: list[str]) -> None:
    body, _ = RECORDED[source.name]
    headers = SIGNED[source.name](body, new_secret())
    for offered, sent in (({}, body), (headers, body), (headers, body + b" ")):
        with pytest.raises(SignatureFault):
            source.verify(offered, sent, secrets, NOW)


@given(raw=st.binary(max_size=200) | st.sampled_from([b"null", b"[]", b"{}", b'{"data":{}}', b"1e400"]))
@pytest.mark.parametrize("name", [source.name for source in SOURCES])
def test_says_what_is_wrong_with_anything_else(name: str, raw: bytes) -> None:
    with pytest.raises(InvalidOrder) as caught:
        all_sources()[name].read(raw, CONTEXT)
    assert caught.value.faults


@given(cut=st.integers(0, 600), junk=st.sampled_from([b"", b"0", b'"', b"{", b"\xff", b"\\u0000"]))
@pytest.mark.parametrize("name", [source.name for source in SOURCES])
def test_survives_a_recorded_message_that_was_damaged(name: str, cut: int, junk: bytes) -> None:
    body, _ = RECORDED[name]
    damaged = body[:cut] + junk + body[cut + len(junk) :]
    try:
        all_sources()[name].read(damaged, CONTEXT)
    except InvalidOrder as contradiction:
        assert contradiction.faults
