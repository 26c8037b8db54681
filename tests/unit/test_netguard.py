"""Which addresses are called and which are not, whatever they are spelled like."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.netguard import Forbidden, Unresolved, is_public, vet

NOT_PUBLIC = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.254 169.254.169.254 172.16.0.1 172.31.255.255
192.0.0.1 192.0.0.9 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1
240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:10.0.0.1 ::ffff:169.254.169.254 ::ffff:0:127.0.0.1 ::5efe:127.0.0.1
64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2001:10::1 2002:7f00:1:: 2002:a9fe:a9fe:: 3fff::1
5f00::1 fc00::1 fd00:ec2::254 fe80::1 fe80::1%eth0 fec0::1 ff02::1 4000::1
"""
PUBLIC = "1.1.1.1 8.8.8.8 93.184.216.34 ::ffff:8.8.8.8 2606:4700:4700::1111 2a00:1450:4001::1"


@pytest.mark.parametrize("address", NOT_PUBLIC.split())
def test_never_calls(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_calls(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["", "localhost", "2130706433", "0x7f.1", "1.1.1", "1.1.1.1.1", "01.1.1.1", "::g"]
)
def test_what_is_not_an_address_is_not_public(address: str) -> None:
    assert not is_public(address)


def inside(bits: int, network: str) -> bool:
    """Membership worked out on whole numbers, independently of the `ipaddress` operators the guard uses."""
    first, _, length = network.partition("/")
    base = int(ipaddress.IPv6Address(first))
    shift = 128 - int(length)
    return bits >> shift == base >> shift


@given(
    st.integers(0, 2**128 - 1)
    | st.integers(0x2000 << 112, (0x4000 << 112) - 1)
    | st.integers(0x20010000 << 96, (0x20030000 << 96) - 1)
    | st.integers(0x3FFE0000 << 96, (0x40000000 << 96) - 1)
)
def test_a_second_implementation_agrees_on_any_ipv6_address(bits: int) -> None:
    excluded = ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
    if inside(bits, "::ffff:0:0/96"):
        return
    expected = inside(bits, "2000::/3") and not any(inside(bits, network) for network in excluded)
    assert is_public(str(ipaddress.IPv6Address(bits))) is expected


@given(st.integers(0, 2**32 - 1))
def test_a_mapped_address_is_judged_as_the_ipv4_address_it_is(bits: int) -> None:
    plain = str(ipaddress.IPv4Address(bits))
    assert is_public(f"::ffff:{plain}") is is_public(plain)


def answering(*addresses: str) -> "Answers":
    """A resolver with one answer to everything, that counts."""
    return Answers(addresses)


class Answers:
    def __init__(self, addresses: tuple[str, ...]) -> None:
        self.addresses = addresses
        self.asked: list[tuple[str, int]] = []

    def __call__(self, host: str, port: int) -> tuple[str, ...]:
        self.asked.append((host, port))
        return self.addresses


NONE_ALLOWED: frozenset[str] = frozenset()


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "https://example.com:8443/",
        "https://example.com:22/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://@example.com/",
        "https://2130706433/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://127.1/",
        "https://1.2.3/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com\r\nHost: other/",
        "https://exam ple.com/",
        "https://example.com:99999/",
        "https://example.com:port/",
        "https://[::1/",
        "https://[v1.fe]/",
        "https:///path",
        "https://..",
        "https://" + "a" * 300 + ".com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "",
    ],
)
def test_does_not_even_look_up(url: str) -> None:
    resolver = answering("93.184.216.34")
    with pytest.raises(Forbidden):
        vet(url, allow_origins=NONE_ALLOWED, resolve=resolver)
    assert resolver.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://①②⑦.⓪.⓪.①/",
        "https://127。0。0。1/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::1]/",
        "https://10.0.0.1./",
    ],
)
def test_a_disguised_address_is_seen_for_what_it_is(url: str) -> None:
    with pytest.raises(Forbidden):
        vet(url, allow_origins=NONE_ALLOWED, resolve=lambda host, port: [host])


def test_one_bad_answer_among_good_ones_is_enough() -> None:
    for answers in (("93.184.216.34", "10.0.0.1"), ("10.0.0.1", "93.184.216.34"), ("93.184.216.34", "::1")):
        with pytest.raises(Forbidden):
            vet("https://example.com/", allow_origins=NONE_ALLOWED, resolve=answering(*answers))


def test_the_name_is_looked_up_exactly_once_and_every_answer_kept() -> None:
    resolver = answering("93.184.216.34", "2606:4700::1", "93.184.216.34")
    vetted = vet(
        "https://Bücher.example/a b?x=é".replace(" ", "%20"), allow_origins=NONE_ALLOWED, resolve=resolver
    )
    assert resolver.asked == [("xn--bcher-kva.example", 443)]
    assert vetted.addresses == ("93.184.216.34", "2606:4700::1")
    assert vetted.target == "/a%20b?x=%C3%A9"
    assert vetted.authority == "xn--bcher-kva.example"


def test_a_name_without_an_address_can_be_tried_later() -> None:
    with pytest.raises(Unresolved):
        vet("https://example.com/", allow_origins=NONE_ALLOWED, resolve=answering())


def test_an_allowed_origin_is_called_whatever_it_is() -> None:
    allowed = frozenset({"http://127.0.0.1:8025", "http://[::1]"})
    vetted = vet("http://127.0.0.1:8025/in", allow_origins=allowed, resolve=answering("127.0.0.1"))
    assert (vetted.port, vetted.authority) == (8025, "127.0.0.1:8025")
    assert vet("http://[::1]/in", allow_origins=allowed, resolve=answering("::1")).authority == "[::1]"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:8026/",
        "https://127.0.0.1:8025/",
        "http://127.0.0.2:8025/",
        "http://localhost:8025/",
        "http://x@127.0.0.1:8025/",
    ],
)
def test_an_allowed_origin_opens_no_other(url: str) -> None:
    with pytest.raises(Forbidden):
        vet(url, allow_origins=frozenset({"http://127.0.0.1:8025"}), resolve=answering("127.0.0.1"))


@given(st.text(max_size=40))
def test_any_text_is_vetted_or_refused(text: str) -> None:
    for url in (text, f"https://{text}/"):
        try:
            vetted = vet(url, allow_origins=NONE_ALLOWED, resolve=answering("93.184.216.34"))
        except Forbidden:
            continue
        assert vetted.host.isascii()
        assert vetted.target.isascii()
