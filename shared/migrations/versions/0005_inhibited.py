"""Decisions name the kind that hides a signal.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The release before this one does not write it."""
    op.add_column(
        "decision",
        sa.Column(
            "inhibited_by",
            sa.Text(),
            nullable=True,
            comment="the kind whose open question hides it, where one does",
        ),
    )


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("decision", "inhibited_by")
