"""Signals belong to occasions, alerts to users, revisions replace readings.

Revision ID: 0002
Revises: 0001
"""

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Move an installation of 0001 to today's tables, with its data."""
    upgrade_orders()
    upgrade_signals()
    upgrade_alerts()


def upgrade_orders() -> None:
    """Events, order revisions, orders and lines."""


def upgrade_signals() -> None:
    """Signals, models, customers and products."""


def upgrade_alerts() -> None:
    """Users, episodes, alerts and deliveries."""


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
