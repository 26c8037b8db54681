"""Which API token a request carries, and what it may do."""

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

from flask import request

from shared.clock import real_now
from shared.problems import Problem
from shared.tokens import ApiToken, FindToken, digest, looks_valid

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def require_scope(
    scope: str, find_token: FindToken
) -> Callable[[Callable[Concatenate[ApiToken, Arguments], Answer]], Callable[Arguments, Answer]]:
    """Decorate a view: it is called with the request's token as its first argument, or not at all (401, 403)."""

    def decorate(view: Callable[Concatenate[ApiToken, Arguments], Answer]) -> Callable[Arguments, Answer]:
        @wraps(view)
        def guarded(*arguments: Arguments.args, **values: Arguments.kwargs) -> Answer:
            return view(authorise(scope, find_token), *arguments, **values)

        return guarded

    return decorate


def authorise(scope: str, find_token: FindToken) -> ApiToken:
    """Return the token of the request at hand. Raises a 401 or 403 Problem, alike for unknown and expired."""
    kind, _, secret = request.environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if kind.lower() != "bearer":
        raise _refusal(401, "Send an API token: Authorization: Bearer tip_...", 'Bearer realm="tipoff"')
    secret = secret.strip()
    token = find_token(digest(secret)) if looks_valid(secret) else None
    if token is None or (token.expires_at is not None and token.expires_at <= real_now()):
        raise _refusal(401, "This token is not known.", 'Bearer realm="tipoff", error="invalid_token"')
    if scope not in token.scopes:
        challenge = f'Bearer realm="tipoff", error="insufficient_scope", scope="{scope}"'
        raise _refusal(403, f"This token lacks the scope {scope}.", challenge)
    return token


def _refusal(status: int, detail: str, challenge: str) -> Problem:
    return Problem(status, detail, headers={"WWW-Authenticate": challenge})
