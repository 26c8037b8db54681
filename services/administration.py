"""Commands for whoever runs an installation: its tables and its API tokens."""

from datetime import timedelta
from typing import TYPE_CHECKING

import click
from sqlalchemy import text

from services.alerts.store.endpoints import seal_stored
from shared import migrations, tokens
from shared.clock import real_now
from shared.sealing import sealer_of
from shared.settings import Settings

if TYPE_CHECKING:
    from services.cli import Context

SCOPES = ("orders:write", "orders:read", "facts:write", "signals:read", "alerts:read")


@click.command()
@click.pass_obj
def migrate(context: "Context") -> None:
    """Bring the database to this version's tables, and seal addresses that are not. Safe to run twice."""
    try:
        stands = migrations.upgrade(context.settings.database_url.get_secret_value())
    except migrations.NewerDatabaseError as error:
        raise click.ClickException(str(error)) from error
    with context.database.transaction() as connection:
        seal_stored(connection, sealer_of(*context.settings.secret_keys))
    click.echo(f"the database stands at revision {stands}")


@click.group()
def token() -> None:
    """API tokens: shown once, stored as SHA-256."""


@token.command()
@click.argument("name")
@click.option("--source", required=True, help="the source orders posted with it belong to")
@click.option(
    "--scope", "scopes", multiple=True, type=click.Choice(SCOPES), default=("orders:write", "orders:read")
)
@click.option("--days", type=click.IntRange(min=1), help="expires after so many days; default never")
@click.pass_obj
def create(context: "Context", name: str, source: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a token and print it, this once."""
    if not name.strip() or not source.strip():
        raise click.ClickException(
            "a token needs a name and a source\nhint: tipoff token create shop --source shop"
        )
    made = tokens.new_token()
    with context.database.transaction() as connection:
        stored = connection.execute(
            text(
                "INSERT INTO api_token (digest, name, source, scopes, expires_at)"
                " VALUES (:digest, :name, :source, :scopes, :expires_at) ON CONFLICT DO NOTHING RETURNING name"
            ),
            {
                "digest": tokens.digest(made),
                "name": name,
                "source": source,
                "scopes": list(scopes),
                "expires_at": real_now() + timedelta(days=days) if days else None,
            },
        ).first()
    if stored is None:
        raise click.ClickException(f"a token named {name!r} exists\nhint: `tipoff token revoke {name}` first")
    click.echo(made)


@token.command("list")
@click.pass_obj
def list_tokens(context: "Context") -> None:
    """List tokens: names and what they may do, never the token."""
    with context.database.transaction() as connection:
        for row in connection.execute(
            text("SELECT name, source, scopes, expires_at FROM api_token ORDER BY name")
        ):
            until = f"until {row.expires_at:%Y-%m-%d}" if row.expires_at else "for ever"
            click.echo(f"{row.name}  source {row.source}  {' '.join(row.scopes)}  {until}")


@token.command()
@click.argument("name")
@click.pass_obj
def revoke(context: "Context", name: str) -> None:
    """Delete a token: it is refused within seconds."""
    with context.database.transaction() as connection:
        gone = connection.execute(
            text("DELETE FROM api_token WHERE name = :name RETURNING name"), {"name": name}
        )
        if gone.first() is None:
            raise click.ClickException(f"there is no token named {name!r}\nhint: `tipoff token list`")


@click.command()
def settings() -> None:
    """Print every setting, its default and its meaning, as the table of docs/settings.md."""
    click.echo(settings_table())


def settings_table() -> str:
    """The settings as a Markdown table, in the order of the class."""
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        default = (
            "required" if field.is_required() else f"`{_shown(field.get_default(call_default_factory=True))}`"
        )
        variable = name.upper() if name in ("database_url", "redis_url") else f"TIPOFF_{name.upper()}"
        rows.append(f"| `{variable}` | {default} | {field.description} |")
    return "\n".join(rows)


def _shown(value: object) -> str:
    if isinstance(value, timedelta):
        return f"PT{int(value.total_seconds() // 60)}M"
    if isinstance(value, tuple) and value:
        return " ".join(map(str, value))
    return "(none)" if value in (None, (), {}) else str(value)


commands = (migrate, settings, token)
