"""When each version of a kind that looks at days was first evaluated, and how much it found that was old.

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
    """Add the table. The release before this one does not know it."""
    op.create_table(
        "first_evaluation",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False, comment="of the detector, and of its model"),
        sa.Column("day", sa.Date(), nullable=False, comment="what was so long before opens nothing"),
        sa.Column(
            "old",
            sa.Integer(),
            nullable=False,
            comment="how much was found on that day that opened nothing",
        ),
        sa.PrimaryKeyConstraint("kind", "version", name=op.f("pk_first_evaluation")),
    )


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("first_evaluation")
