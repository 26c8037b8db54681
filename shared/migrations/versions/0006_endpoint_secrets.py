"""Endpoints have a name, and their addresses and signing secrets are sealed; `tipoff migrate` seals those there are.

A migration has no key: only columns are added here. `services.alerts.store.endpoints.seal_stored` does the rest.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add columns."""
    op.add_column(
        "endpoint", sa.Column("name", sa.Text(), nullable=True, comment="what lists and pages show")
    )
    op.add_column(
        "endpoint",
        sa.Column("address_digest", sa.Text(), nullable=True, comment="keyed: an endpoint is found by it"),
    )
    op.add_column(
        "endpoint",
        sa.Column(
            "signing_secret", sa.Text(), nullable=True, comment="sealed: verifies what the receiver sends us"
        ),
    )
    op.alter_column("endpoint", "address", comment="sealed: a chat's address is a credential")
    op.create_unique_constraint(op.f("uq_endpoint_name"), "endpoint", ["name"])
    op.create_unique_constraint(
        op.f("uq_endpoint_channel_address_digest"), "endpoint", ["channel", "address_digest"]
    )
    op.alter_column("delivery", "recipient", comment="a mail address, or the id of an endpoint")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
