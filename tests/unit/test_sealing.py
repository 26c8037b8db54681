"""What is sealed can be read with its key, in its place, and nowhere else."""

import pytest

from shared.sealing import Sealer, Unsealable

OLD, NEW = "an old secret key of 32 letters..", "a new secret key of 32 letters..."
PLACE = "endpoint/7/address"


def test_what_is_sealed_is_read_and_says_nothing_of_itself() -> None:
    sealer = Sealer([NEW])
    first, second = (sealer.seal("https://hooks.slack.com/services/T/B/x", PLACE) for _ in range(2))

    assert first != second
    assert "slack" not in first
    assert sealer.open(first, PLACE) == sealer.open(second, PLACE) == "https://hooks.slack.com/services/T/B/x"


def test_after_the_key_changed_the_old_one_still_opens() -> None:
    sealed = Sealer([OLD]).seal("x", PLACE)
    both = Sealer([NEW, OLD])

    assert both.open(sealed, PLACE) == "x"
    assert not both.is_current(sealed)
    assert both.is_current(both.seal("x", PLACE))
    assert Sealer([OLD]).digests("x")[0] in both.digests("x")


def changed(sealed: str) -> str:
    return sealed[:-6] + ("A" if sealed[-6] != "A" else "B") + sealed[-5:]


@pytest.mark.parametrize(
    ("keys", "place", "change"),
    [
        pytest.param([NEW], PLACE, str, id="under another key"),
        pytest.param([OLD], "endpoint/8/address", str, id="in another row"),
        pytest.param([OLD], "endpoint/7/signing_secret", str, id="in another column"),
        pytest.param([OLD], PLACE, changed, id="changed"),
        pytest.param([OLD], PLACE, lambda sealed: sealed[:20], id="cut"),
        pytest.param([OLD], PLACE, lambda sealed: sealed + "!", id="no base64"),
    ],
)
def test_it_cannot_be_read(keys: list[str], place: str, change) -> None:
    sealed = change(Sealer([OLD]).seal("the secret", PLACE))

    with pytest.raises(Unsealable) as fault:
        Sealer(keys).open(sealed, place)

    assert "the secret" not in str(fault.value)


def test_what_was_stored_before_sealing_is_read_as_it_is() -> None:
    assert Sealer([NEW]).open("https://crm.example.com/hook", PLACE) == "https://crm.example.com/hook"
