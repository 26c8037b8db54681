"""What a signature proves, held against published vectors and the reference library."""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from shared.signing import SignatureFault, key_of, new_secret, sign, verify

NOW = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
BODY = b'{"type":"order.created"}'


def reference_vectors() -> list[Any]:
    """Vectors of vendors' documentation, where the reference material lies beside the project."""
    folder = Path(os.environ.get("TIPOFF_REFERENCE", "../shared"))
    file = folder / "contracts" / "vectors.json"
    if not file.exists():
        return [pytest.param({}, marks=pytest.mark.skip(reason="no reference material"), id="no vectors")]
    vectors = json.loads(file.read_text())["vectors"]
    ours = [each for each in vectors if each["scheme"].split(" (")[0] == "standard-webhooks v1"]
    return [pytest.param(each, id=each["id"]) for each in ours]


@pytest.mark.parametrize("vector", reference_vectors())
def test_believes_the_published_vector(vector: dict[str, Any]) -> None:
    headers = {name.lower(): value for name, value in vector["headers"].items()}
    body = base64.b64decode(vector["body_b64"])
    now = datetime.fromtimestamp(vector["now"], UTC)
    assert verify(headers, body, [vector["secret"]], now) in headers.values()
    with pytest.raises(SignatureFault):
        verify(headers, body + b" ", [vector["secret"]], now)
    with pytest.raises(SignatureFault):
        verify(headers, body, [vector["secret"]], now + timedelta(seconds=301))


@pytest.mark.parametrize("offset", [-300, 0, 300])
def test_believes_a_message_up_to_five_minutes_off(offset: int) -> None:
    headers = sign("msg_1", NOW + timedelta(seconds=offset), BODY, [SECRET])
    assert verify(headers, BODY, [SECRET], NOW) == "msg_1"


def signed(**changes: str) -> dict[str, str]:
    """Headers of a sound message, with some of them changed."""
    changed = {f"webhook-{name}": value for name, value in changes.items()}
    return sign("msg_1", NOW, BODY, [SECRET]) | changed


SOUND = signed()["webhook-signature"]
EPOCH = signed()["webhook-timestamp"]


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="without headers"),
        pytest.param({"webhook-id": "msg_1", "webhook-timestamp": EPOCH}, id="without a signature"),
        pytest.param(signed(id="msg_2"), id="under another id"),
        pytest.param(signed(id=""), id="without an id"),
        pytest.param(signed(id="msg\r\n1"), id="with a line break in its id"),
        pytest.param(signed(id="x" * 256), id="with an endless id"),
        pytest.param(sign("msg_1", NOW - timedelta(seconds=301), BODY, [SECRET]), id="301 seconds old"),
        pytest.param(sign("msg_1", NOW + timedelta(seconds=301), BODY, [SECRET]), id="301 seconds early"),
        pytest.param(signed(timestamp=EPOCH + " "), id="with a blank in its time"),
        pytest.param(signed(timestamp="+" + EPOCH), id="with a sign in its time"),
        pytest.param(
            signed(timestamp="".join(chr(0x660 + int(digit)) for digit in EPOCH)), id="in Arabic digits"
        ),
        pytest.param(signed(timestamp="9" * 400), id="from the end of time"),
        pytest.param(signed(signature=""), id="with an empty signature"),
        pytest.param(signed(signature="v1,"), id="with an empty digest"),
        pytest.param(signed(signature="v1," + SOUND), id="with a doubled version"),
        pytest.param(signed(signature=SOUND.replace("v1", "v2")), id="of another version"),
        pytest.param(signed(signature=SOUND[:-4]), id="with a cut digest"),
        pytest.param(signed(signature=SOUND.lower()), id="with a digest in lower case"),
        pytest.param(signed(signature="v1,ÿÿÿÿ v1,\x00"), id="with a digest that is not base64"),
        pytest.param(sign("msg_1", NOW, BODY, [OTHER]), id="signed with a secret we do not know"),
        pytest.param(sign("msg_1", NOW, BODY + b"x", [SECRET]), id="signed over another body"),
    ],
)
def test_does_not_believe_a_message(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureFault):
        verify(headers, BODY, [SECRET], NOW)


def test_believes_nothing_without_secrets() -> None:
    with pytest.raises(SignatureFault):
        verify(signed(), BODY, [], NOW)


def test_either_secret_serves_while_both_are_active() -> None:
    for signer in (SECRET, OTHER):
        assert verify(sign("msg_1", NOW, BODY, [signer]), BODY, [SECRET, OTHER], NOW)
    for known in (SECRET, OTHER):
        assert verify(sign("msg_1", NOW, BODY, [SECRET, OTHER]), BODY, [known], NOW)


def test_junk_beside_a_sound_signature_is_passed_over() -> None:
    junk = f"v1a,abc v1,%%% v2,{SOUND[3:]} v1,AAAA {SOUND} v1"
    assert verify(signed(signature=junk), BODY, [SECRET], NOW) == "msg_1"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_%%%", "whsec_YWJj", "whsec_" + "é" * 30])
def test_a_malformed_secret_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ValueError, match="webhook secret") as fault:
        key_of(secret)
    assert secret in ("", "whsec_") or secret not in str(fault.value)


@given(st.text(max_size=200), st.text("abcXYZ019_-", min_size=1, max_size=40))
def test_the_reference_library_signs_as_we_do(text: str, message_id: str) -> None:
    now = datetime.now(UTC)
    ours = sign(message_id, now, json.dumps(text).encode(), [SECRET])
    assert Webhook(SECRET).sign(message_id, now, json.dumps(text)) == ours["webhook-signature"]
    assert Webhook(SECRET).verify(json.dumps(text), ours) == text
    assert verify(ours, json.dumps(text).encode(), [SECRET], now) == message_id


@given(st.data())
def test_any_flipped_bit_is_noticed_by_us_and_the_reference_library(data: st.DataObject) -> None:
    now = datetime.now(UTC)
    body = json.dumps({"a": data.draw(st.integers())}).encode()
    headers = sign("msg_1", now, body, [SECRET])
    position = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[position] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(SignatureFault):
        verify(headers, bytes(changed), [SECRET], now)
    with pytest.raises((WebhookVerificationError, UnicodeDecodeError)):
        Webhook(SECRET).verify(bytes(changed), headers)


@given(st.dictionaries(st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]), st.text()))
def test_whatever_the_headers_hold_the_answer_is_a_fault(headers: dict[str, str]) -> None:
    with pytest.raises(SignatureFault):
        verify(headers, BODY, [SECRET], NOW)


def test_a_new_secret_holds_256_bits() -> None:
    assert len(key_of(new_secret())) == 32
    assert new_secret() != new_secret()
