"""What API tokens look like, and how long a found one is believed."""

from hashlib import sha256

import pytest

from shared.tokens import ApiToken, digest, looks_valid, new_token, remembered

SHOP = ApiToken("shop", "standard", frozenset({"orders:write"}))


def test_a_new_token_looks_valid_and_never_comes_twice() -> None:
    tokens = {new_token() for _ in range(200)}
    assert len(tokens) == 200
    assert all(looks_valid(token) for token in tokens)
    assert {len(token) for token in tokens} == {53}


def test_only_the_digest_is_for_storing() -> None:
    token = new_token()
    assert digest(token) == sha256(token.encode()).digest()


TOKEN = "tip_" + "0" * 43


@pytest.mark.parametrize(
    "token",
    [
        pytest.param("", id="nothing"),
        pytest.param("tip_", id="a bare prefix"),
        pytest.param(new_token()[:-1], id="a cut token"),
        pytest.param(new_token() + "\n", id="a token with a line break"),
        pytest.param(new_token().replace("tip_", "top_"), id="another prefix"),
        pytest.param(TOKEN + "000000", id="a wrong checksum"),
        pytest.param("tip_" + "é" * 49, id="letters outside ASCII"),
    ],
)
def test_does_not_look_valid(token: str) -> None:
    assert not looks_valid(token)


def test_one_mistyped_character_is_noticed() -> None:
    token = new_token()
    for position in range(4, len(token)):
        other = "A" if token[position] != "A" else "B"
        assert not looks_valid(token[:position] + other + token[position + 1 :])


def test_a_found_token_is_asked_for_once_in_its_time_and_again_after_it() -> None:
    asked: list[bytes] = []
    time = [100.0]

    def find(wanted: bytes) -> ApiToken | None:
        asked.append(wanted)
        return SHOP

    find_remembered = remembered(find, seconds=5.0, tick=lambda: time[0])
    assert find_remembered(b"a") is find_remembered(b"a") is SHOP
    assert len(asked) == 1
    time[0] += 5.1
    assert find_remembered(b"a") is SHOP
    assert len(asked) == 2


def test_a_revoked_token_is_forgotten_and_an_unknown_one_never_kept() -> None:
    answers = {b"a": SHOP}
    time = [0.0]
    find = remembered(answers.get, seconds=5.0, tick=lambda: time[0])
    assert find(b"b") is None
    answers[b"b"] = SHOP
    assert find(b"b") is SHOP
    del answers[b"b"]
    time[0] = 6.0
    assert find(b"b") is None
