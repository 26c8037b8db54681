"""What strict JSON refuses, and that it agrees with the standard parser on the rest."""

import json
from decimal import Decimal
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, TypeAdapter, ValidationError

from shared.faults import JsonFault, faults_of, load_json


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        pytest.param(b"[" * 100_000, "nested deeper", id="a hundred thousand open brackets"),
        pytest.param(b"[" * 900 + b"]" * 900, "nested deeper", id="900 levels other parsers take"),
        pytest.param(b'{"a":' * 21 + b"1" + b"}" * 21, "nested deeper than 20", id="one level too many"),
        pytest.param(b"NaN", "NaN is not JSON", id="NaN"),
        pytest.param(b'{"a": Infinity}', "Infinity is not JSON", id="Infinity"),
        pytest.param(b"[-Infinity]", "-Infinity is not JSON", id="negative Infinity"),
        pytest.param(b"[1e400]", "outside any usable range", id="a number floats turn into infinity"),
        pytest.param(b"[1e-400]", "outside any usable range", id="a number floats turn into nothing"),
        pytest.param(
            b"[1e99999999999999999999]", "outside any usable range", id="an exponent Decimal refuses"
        ),
        pytest.param(b"1" * 4301, "more than 330 digits", id="an integer of 4301 digits"),
        pytest.param(b"0." + b"1" * 4301, "more than 330 digits", id="a fraction of 4301 digits"),
        pytest.param(b'{"a": 1, "b": 2, "a": 3}', "the name 'a' stands twice", id="a repeated name"),
        pytest.param(
            b'[{"x": {"a": 1, "\\u0061": 2}}]', "stands twice", id="a repeated name in another spelling"
        ),
        pytest.param(rb'"\ud800"', "half a surrogate pair", id="a lone high surrogate"),
        pytest.param(rb'"\udc00\ud800"', "half a surrogate pair", id="surrogates the wrong way round"),
        pytest.param(rb'{"\ud800": 1}', "half a surrogate pair", id="a lone surrogate in a name"),
        pytest.param(rb'"a\u0000b"', "U+0000", id="an escaped NUL"),
        pytest.param(rb'"\\\u0000"', "U+0000", id="a NUL after an escaped backslash"),
        pytest.param(b'"a\x00b"', "control character", id="a raw NUL"),
        pytest.param(b'"a\nb"', "control character", id="a raw line break in a text"),
        pytest.param(b'"\xff"', "not valid UTF-8", id="bytes that are not UTF-8"),
        pytest.param(b'"\xed\xa0\x80"', "not valid UTF-8", id="a surrogate in UTF-8 clothes"),
        pytest.param(b'\xef\xbb\xbf"a"', "expecting value", id="a byte order mark"),
        pytest.param(b'{"a": 1} {"b": 2}', "extra data", id="a second value"),
        pytest.param(b'{"a": 1},', "extra data", id="a trailing comma outside"),
        pytest.param(b"[1,]", "", id="a trailing comma inside"),
        pytest.param(b"", "expecting value", id="nothing"),
        pytest.param(b"[01]", "expecting", id="a leading zero"),
        pytest.param(b"{'a': 1}", "expecting property name", id="single quotes"),
    ],
)
def test_refuses(raw: bytes, reason: str) -> None:
    with pytest.raises(JsonFault) as fault:
        load_json(raw)
    assert reason in fault.value.reason


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        pytest.param(b"9223372036854775808", 2**63, id="2^63, whose range is the schema's business"),
        pytest.param(b'{"a":' * 20 + b"1" + b"}" * 20, None, id="exactly twenty levels"),
        pytest.param(rb'"\ud83d\ude00"', "😀", id="a whole surrogate pair"),
        pytest.param(rb'"\\u0000"', r"\u0000", id="an escaped backslash before u0000"),
        pytest.param(rb'"\\ud800"', r"\ud800", id="an escaped backslash before ud800"),
        pytest.param(
            b"[0.1, 1e3, -0.00]", [Decimal("0.1"), Decimal("1e3"), Decimal("-0.00")], id="exact fractions"
        ),
        pytest.param(
            b' {"a": [true, false, null, "x"]} ', {"a": [True, False, None, "x"]}, id="ordinary values"
        ),
    ],
)
def test_takes(raw: bytes, value: object) -> None:
    assert value is None or load_json(raw) == value
    load_json(raw)


def test_a_fraction_is_a_decimal_and_a_whole_number_an_int() -> None:
    whole, fraction = load_json(b"[12, 12.50]")
    assert isinstance(whole, int)
    assert isinstance(fraction, Decimal)
    assert str(fraction) == "12.50"


def test_says_where_the_fault_is() -> None:
    with pytest.raises(JsonFault) as fault:
        load_json(b'{"a": nothing}')
    assert fault.value.position == 6


def test_a_deeper_limit_can_be_asked_for() -> None:
    assert load_json(b"[[[]]]", max_depth=3) == [[[]]]
    with pytest.raises(JsonFault):
        load_json(b"[[[]]]", max_depth=2)


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)
    | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(_JSON, st.booleans())
def test_agrees_with_the_standard_parser_on_what_is_sound(value: object, escaped: bool) -> None:
    raw = json.dumps(value, ensure_ascii=escaped).encode()
    assert load_json(raw, max_depth=40) == json.loads(raw, parse_float=Decimal)


@given(st.binary(max_size=60) | st.text('{}[]",:\\u0d8c0 19eE.-+NaInfity\n', max_size=60).map(str.encode))
def test_whatever_comes_it_returns_storable_values_or_says_why_not(raw: bytes) -> None:
    try:
        value = load_json(raw)
    except JsonFault:
        return
    assert "\0" not in repr(value)
    json.dumps(value, default=str, ensure_ascii=False, allow_nan=False).encode("utf-8")


def test_a_bound_is_told_as_a_number() -> None:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(Annotated[Decimal, Field(ge=Decimal("0.0001"))]).validate_python("0")
    assert [fault.detail for fault in faults_of(caught.value)] == [
        "Input should be greater than or equal to 0.0001"
    ]
