"""What each signal asks for; what the kind `margin` and the model of order sizes left behind goes.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add a column with a default: the release before this one writes signals without it."""
    op.add_column(
        "signal",
        sa.Column(
            "action",
            sa.Text(),
            nullable=False,
            server_default=sa.text("'call'"),
            comment="call, correction or mention: what it asks for",
        ),
    )
    op.execute(
        "WITH closed AS (UPDATE episode SET closed_at = now(), close_reason = 'its kind is no more'"
        " WHERE kind = 'margin' AND closed_at IS NULL RETURNING id, close_reason)"
        " INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason) SELECT id, ("
        "  SELECT to_state FROM episode_event WHERE episode_id = closed.id ORDER BY episode_event.id DESC LIMIT 1),"
        " 'closed', 'scoring', now(), close_reason FROM closed"
    )
    op.execute("UPDATE model_run SET state = 'superseded' WHERE model = 'order_sizes' AND state = 'current'")
    op.execute("DROP TABLE IF EXISTS order_size")


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
