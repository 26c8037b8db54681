"""Who may open the pages while nobody signs in: from which address, under which host name, from which form."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from itsdangerous import BadSignature, URLSafeTimedSerializer

FORM_SECONDS = 12 * 3600
FORM_PURPOSE = "tipoff: a form of ours"

PROXY_HEADERS = frozenset(
    {
        "cdn-loop",
        "client-ip",
        "fastly-client-ip",
        "forwarded",
        "true-client-ip",
        "via",
        "x-client-ip",
        "x-cluster-client-ip",
        "x-host",
        "x-real-ip",
        "x-rewrite-url",
    }
)
PROXY_PREFIXES = ("x-forwarded", "x-envoy-", "x-original-", "x-proxy", "x-amzn-", "x-azure-", "cf-")
"""What a browser on this machine never sends: such a request came through somebody's proxy."""


@dataclass(frozen=True, slots=True)
class Access:
    """Where the service listens and whether anyone who reaches it may open the pages."""

    bind_host: str
    public_url: str
    is_open_to_anyone: bool

    def refuses_page(self, headers: Mapping[str, str]) -> str | None:
        """Why a page is not served to this request, or None. Header names are lower case."""
        if self.is_open_to_anyone:
            return self.refuses_link(headers)
        if not is_loopback(self.bind_host):
            return "The inbox is served on loopback only, and this service listens on another address."
        if any(name in PROXY_HEADERS or name.startswith(PROXY_PREFIXES) for name in headers):
            return "The inbox is served on loopback only, and this request was forwarded."
        if not is_loopback(host_of(headers)):
            return "The inbox is served on loopback only, and this request came under another name."
        return None

    def refuses_link(self, headers: Mapping[str, str]) -> str | None:
        """Why the page behind a mail's link is not served to this request, or None.

        Another site can make a browser ask us under that site's name (DNS rebinding): only names of ours pass.
        """
        host = host_of(headers)
        if is_loopback(host) or (host and host == urlsplit(self.public_url).hostname):
            return None
        return "This page is served on loopback and under TIPOFF_PUBLIC_URL only; this request came under another name."


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine itself."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def host_of(headers: Mapping[str, str]) -> str:
    """The name a request came under, without its port; empty when it cannot be read."""
    try:
        return urlsplit(f"//{headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def is_own_form(headers: Mapping[str, str]) -> bool:
    """Whether a form comes from a page of ours, by what the browser says of its origin."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        return urlsplit(origin).netloc == headers.get("host")
    except ValueError:
        return False


def form_token(secret_key: str, about: str) -> str:
    """Return what a form about this alert must carry."""
    return URLSafeTimedSerializer(secret_key, salt=FORM_PURPOSE).dumps(about)


def is_form_token(secret_key: str, about: str, token: str) -> bool:
    """Whether a form's token was made here, for this alert, in the last hours."""
    try:
        made_for: str = URLSafeTimedSerializer(secret_key, salt=FORM_PURPOSE).loads(
            token, max_age=FORM_SECONDS
        )
    except BadSignature:
        return False
    return made_for == about
