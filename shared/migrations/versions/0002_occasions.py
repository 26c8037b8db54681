"""Signals belong to occasions, alerts to users, revisions replace readings.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

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
    _rename_columns_of_events_and_orders()
    op.alter_column(
        "import_run",
        "noun",
        new_column_name="entity",
        comment="what was loaded: orders, customers, products ...",
    )
    op.add_column(
        "event",
        sa.Column(
            "flags",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what a person should know of an order that was taken: totals that differ",
        ),
    )
    op.add_column(
        "event",
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=True,
            comment="rises with every revision that was current; NULL: the version does",
        ),
    )
    op.create_index(
        "ix_event_flagged", "event", ["received_at"], postgresql_where=sa.text("flags IS NOT NULL")
    )
    op.add_column(
        "order_line",
        sa.Column(
            "parent_line_id",
            sa.Text(),
            nullable=True,
            comment="external_id of the line this one is part of: a bundle's, a set's",
        ),
    )


def _rename_columns_of_events_and_orders() -> None:
    for table, old, new in (
        ("event", "is_head", "is_current"),
        ("event", "door", "entry_point"),
        ("event", "normal", "normalized"),
        ("sales_order", "counts", "is_counted"),
        ("order_line", "counts", "is_counted"),
    ):
        op.alter_column(table, old, new_column_name=new)
    op.execute("ALTER INDEX uq_event_head RENAME TO uq_event_current")
    op.execute("ALTER INDEX ix_event_aside RENAME TO ix_event_not_current")
    op.execute(
        "ALTER TABLE event RENAME CONSTRAINT ck_event_head_is_readable TO ck_event_current_is_readable"
    )
    op.execute("UPDATE event SET state = 'stale' WHERE state = 'superseded'")
    for column, comment in (
        ("is_current", "the revision that holds"),
        ("version", "which revision is newer; microseconds when it came from a time"),
        ("state", "accepted, applied, stale, quarantined, dead"),
    ):
        op.execute(f"COMMENT ON COLUMN event.{column} IS '{comment}'")


def upgrade_signals() -> None:
    """Signals, models, customers and products."""
    _give_signals_occasions()
    _give_models_runs_of_their_own()


def _give_signals_occasions() -> None:
    """A signal belonged to a version of an order: that order is its occasion, and the key of its decide task."""
    op.add_column(
        "signal",
        sa.Column(
            "occasion",
            sa.Text(),
            nullable=True,
            comment="order:<order id>, customer:<customer id>:<day> or rep:<rep id>:<day>",
        ),
    )
    op.add_column("signal", sa.Column("rep_id", sa.BigInteger(), nullable=True))
    op.add_column("signal", sa.Column("severity", sa.Text(), nullable=True, comment="urgent or normal"))
    op.add_column(
        "signal",
        sa.Column(
            "facts",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what it was made from; NULL for signals found before these were kept",
        ),
    )
    op.execute(
        "UPDATE signal SET occasion = 'order:' || order_id,"
        " severity = CASE WHEN is_urgent THEN 'urgent' ELSE 'normal' END"
    )
    op.alter_column("signal", "occasion", nullable=False)
    op.alter_column("signal", "severity", nullable=False)
    op.drop_column("signal", "is_urgent")
    op.drop_constraint("uq_signal_order_id_order_version_kind_subject_cause", "signal", type_="unique")
    op.alter_column("signal", "customer_id", nullable=True)
    op.alter_column("signal", "order_id", nullable=True, comment="of an occasion that is an order")
    op.alter_column("signal", "order_version", nullable=True)
    op.create_unique_constraint(
        op.f("uq_signal_occasion_order_version_kind_subject_cause"),
        "signal",
        ["occasion", "order_version", "kind", "subject", "cause"],
        postgresql_nulls_not_distinct=True,
    )
    op.create_check_constraint(
        op.f("ck_signal_customer_or_rep"), "signal", "customer_id IS NOT NULL OR rep_id IS NOT NULL"
    )
    op.create_check_constraint(op.f("ck_signal_severity"), "signal", "severity IN ('urgent', 'normal')")
    op.execute(
        "UPDATE task SET key = 'order:' || split_part(key, ':', 1) || '@' || split_part(key, ':', 2)"
        " WHERE kind = 'decide'"
    )


DERIVED = {
    "neighbours": ("item_neighbour", "customer_candidate"),
    "item_facts": ("item_fact",),
    "price_bands": ("price_band",),
    "usual_breaks": ("usual_break",),
    "order_sizes": ("order_size",),
}


def _give_models_runs_of_their_own() -> None:
    """One run was all models': the current one becomes a run of each; derived tables nobody filled are the models'."""
    op.add_column("model_run", sa.Column("model", sa.Text(), nullable=True))
    op.add_column(
        "model_run",
        sa.Column("state", sa.Text(), nullable=True, comment="candidate, current, rejected or superseded"),
    )
    op.drop_index("uq_model_run_current", table_name="model_run")
    op.alter_column("model_run", "grades", new_column_name="grade")
    op.execute(
        "UPDATE model_run SET model = 'all', state = CASE WHEN is_current THEN 'current'"
        " WHEN finished_at IS NULL THEN 'rejected' ELSE 'superseded' END"
    )
    op.alter_column("model_run", "version", comment="of the model")
    held = op.get_bind().execute(sa.text("SELECT id FROM model_run WHERE state = 'current'")).scalar()
    for model, tables in DERIVED.items():
        if held is None:
            for table in tables:
                op.drop_table(table)
            continue
        run = op.get_bind().scalar(
            sa.text(
                "INSERT INTO model_run (model, state, as_of, started_at, finished_at, version, grade)"
                " SELECT :model, 'current', as_of, started_at, finished_at, version, CASE WHEN :model = 'neighbours'"
                "  THEN coalesce(grade->'cross_sell', '{}') || jsonb_build_object("
                "   'passes', coalesce(grade->'cross_sell'->'wins', 'false')) ELSE '{}' END"
                " FROM model_run WHERE id = :held RETURNING id"
            ),
            {"model": model, "held": held},
        )
        for table in tables:
            op.execute(f"DELETE FROM {table} WHERE model_run_id <> {held}")
            op.execute(f"UPDATE {table} SET model_run_id = {run}")
    op.execute("UPDATE model_run SET state = 'superseded' WHERE model = 'all' AND state = 'current'")
    op.drop_column("model_run", "is_current")
    op.alter_column("model_run", "model", nullable=False)
    op.alter_column("model_run", "state", nullable=False)
    op.create_check_constraint(
        op.f("ck_model_run_state"),
        "model_run",
        "state IN ('candidate', 'current', 'rejected', 'superseded')",
    )
    op.create_index(
        "uq_model_run_current",
        "model_run",
        ["model"],
        unique=True,
        postgresql_where=sa.text("state = 'current'"),
    )


def upgrade_alerts() -> None:
    """Users, episodes, alerts and deliveries."""
    _make_every_rep_a_user()
    _let_territories_have_targets()
    _open_episodes_until_closed_at()
    _give_alerts_occasions()
    _let_a_delivery_hold_many_alerts()
    _name_what_people_did()


def _make_every_rep_a_user() -> None:
    op.create_table(
        "user",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("role", sa.Text(), nullable=False, comment="rep, manager or operator"),
        sa.Column("rep_id", sa.BigInteger(), nullable=True, comment="the rep this user is, if one"),
        sa.Column("time_zone", sa.Text(), server_default=sa.text("'UTC'"), nullable=False),
        sa.ForeignKeyConstraint(["rep_id"], ["rep.id"], name=op.f("fk_user_rep_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_user")),
        sa.UniqueConstraint("rep_id", name=op.f("uq_user_rep_id")),
    )
    op.execute(
        'INSERT INTO "user" (name, email, role, rep_id, time_zone)'
        " SELECT name, email, 'rep', id, time_zone FROM rep ORDER BY id"
    )


def _let_territories_have_targets() -> None:
    op.drop_constraint("pk_target", "target", type_="primary")
    op.add_column("target", sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False))
    op.add_column("target", sa.Column("territory_id", sa.BigInteger(), nullable=True))
    op.alter_column("target", "rep_id", nullable=True)
    op.create_primary_key(op.f("pk_target"), "target", ["id"])
    op.create_foreign_key(op.f("fk_target_territory_id"), "target", "territory", ["territory_id"], ["id"])
    for subject in ("rep_id", "territory_id"):
        op.create_unique_constraint(
            op.f(f"uq_target_{subject}_period_start_period_end"),
            "target",
            [subject, "period_start", "period_end"],
        )
    op.create_check_constraint(
        op.f("ck_target_one_subject"), "target", "(rep_id IS NULL) <> (territory_id IS NULL)"
    )


def _open_episodes_until_closed_at() -> None:
    """The state said the same as closed_at. What is known of an episode's past becomes its first events."""
    op.execute("UPDATE episode SET closed_at = quiet_after WHERE state = 'closed' AND closed_at IS NULL")
    op.execute("UPDATE episode SET closed_at = NULL, close_reason = NULL WHERE state = 'open'")
    op.drop_index("uq_episode_open", "episode")
    op.drop_column("episode", "state")
    op.alter_column("episode", "customer_id", nullable=True)
    op.alter_column("episode", "closed_at", comment="NULL: open")
    op.alter_column("episode", "value", comment="as last notified, else as last seen")
    op.alter_column(
        "episode",
        "sent_at",
        new_column_name="notified_at",
        comment="business time of the last message about it",
    )
    op.add_column(
        "episode",
        sa.Column(
            "rep_id",
            sa.BigInteger(),
            nullable=True,
            comment="the rep it is about, where it is about no customer",
        ),
    )
    op.create_unique_constraint(
        op.f("uq_episode_rep_id_kind_subject_number"), "episode", ["rep_id", "kind", "subject", "number"]
    )
    op.create_check_constraint(
        op.f("ck_episode_one_subject"), "episode", "(customer_id IS NULL) <> (rep_id IS NULL)"
    )
    for subject in ("customer", "rep"):
        op.create_index(
            f"uq_episode_open_{subject}",
            "episode",
            [f"{subject}_id", "kind", "subject"],
            unique=True,
            postgresql_where=sa.text("closed_at IS NULL"),
        )
    op.create_table(
        "episode_event",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("episode_id", sa.BigInteger(), nullable=False),
        sa.Column("from_state", sa.Text(), nullable=True, comment="NULL: it was opened"),
        sa.Column(
            "to_state", sa.Text(), nullable=False, comment="open, notified, snoozed, dismissed, closed ..."
        ),
        sa.Column(
            "actor", sa.Text(), nullable=False, comment="scoring, alerts, inbox, or the link of a mail"
        ),
        sa.Column(
            "actor_id", sa.BigInteger(), nullable=True, comment="the user who acted, where one is known"
        ),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False, comment="business time"),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["actor_id"], ["user.id"], name=op.f("fk_episode_event_actor_id")),
        sa.ForeignKeyConstraint(["episode_id"], ["episode.id"], name=op.f("fk_episode_event_episode_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_episode_event")),
    )
    op.create_index("ix_episode_event_episode_id", "episode_event", ["episode_id", "id"])
    op.execute(
        "INSERT INTO episode_event (episode_id, from_state, to_state, actor, at, reason)"
        " SELECT id, from_state, to_state, 'migration', at, reason FROM ("
        "  SELECT id, 1 AS place, NULL AS from_state, 'open' AS to_state, opened_at AS at, NULL AS reason FROM episode"
        "  UNION ALL SELECT id, 2, 'open', 'notified', notified_at, NULL FROM episode WHERE notified_at IS NOT NULL"
        "  UNION ALL SELECT id, 3, CASE WHEN notified_at IS NULL THEN 'open' ELSE 'notified' END, 'closed', closed_at,"
        "   close_reason FROM episode WHERE closed_at IS NOT NULL) past ORDER BY id, place"
    )


def _give_alerts_occasions() -> None:
    """An alert was of one order and one rep; whether anybody was told could be read from two columns."""
    verdicts = (
        "CASE verdict WHEN 'send' THEN 'notify' WHEN 'keep' THEN 'inbox_only'"
        " WHEN 'drop' THEN 'suppressed' ELSE verdict END"
    )
    reasons = (
        "CASE reason WHEN 'still_quiet' THEN 'within_repeat_interval'"
        " WHEN 'said_by_better' THEN 'notified_by_stronger_signal' ELSE reason END"
    )
    op.add_column(
        "alert",
        sa.Column(
            "occasion",
            sa.Text(),
            nullable=True,
            comment="order:<order id>, customer:<customer id>:<day> or rep:<rep id>:<day>",
        ),
    )
    op.add_column("alert", sa.Column("recipient_id", sa.BigInteger(), nullable=True))
    op.add_column(
        "alert",
        sa.Column(
            "about_rep_id",
            sa.BigInteger(),
            nullable=True,
            comment="the rep it is about, where it is about no customer",
        ),
    )
    op.add_column(
        "alert",
        sa.Column(
            "group_key",
            sa.Text(),
            nullable=True,
            comment="alerts of one storm share it: one row in the inbox, one delivery",
        ),
    )
    op.add_column(
        "alert",
        sa.Column(
            "notified_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="business time; NULL: nobody was told",
        ),
    )
    op.add_column("alert", sa.Column("severity", sa.Text(), nullable=True, comment="urgent or normal"))
    op.execute(
        "UPDATE alert SET occasion = 'order:' || order_id,"
        ' recipient_id = (SELECT id FROM "user" WHERE "user".rep_id = alert.rep_id),'
        " notified_at = CASE WHEN verdict = 'send' OR reason = 'shadow_mode' THEN coalesce("
        "  (SELECT max(episode.notified_at) FROM decision JOIN episode ON episode.id = decision.episode_id"
        "   WHERE decision.alert_id = alert.id AND decision.rank IS NOT NULL), created_at) END,"
        " severity = CASE WHEN is_urgent THEN 'urgent' ELSE 'normal' END,"
        f" verdict = {verdicts}, reason = {reasons}"
    )
    op.execute(f"UPDATE decision SET verdict = {verdicts}, reason = {reasons}")
    for name in ("occasion", "recipient_id", "severity"):
        op.alter_column("alert", name, nullable=False)
    op.drop_constraint("uq_alert_order_id_rep_id", "alert", type_="unique")
    op.drop_index("ix_alert_inbox", "alert")
    op.drop_column("alert", "rep_id")
    op.drop_column("alert", "is_urgent")
    op.alter_column("alert", "customer_id", nullable=True)
    op.alter_column("alert", "order_id", nullable=True, comment="of an occasion that is an order")
    op.alter_column("alert", "business_day", comment="in the recipient's time zone")
    op.alter_column("alert", "verdict", comment="notify, digest or inbox_only")
    op.alter_column("alert", "amended_at", comment="the order changed after somebody was notified")
    op.alter_column("decision", "verdict", comment="notify, digest, inbox_only or suppressed")
    op.create_foreign_key(op.f("fk_alert_recipient_id"), "alert", "user", ["recipient_id"], ["id"])
    op.create_foreign_key(op.f("fk_alert_about_rep_id"), "alert", "rep", ["about_rep_id"], ["id"])
    op.create_unique_constraint(op.f("uq_alert_occasion_recipient_id"), "alert", ["occasion", "recipient_id"])
    op.create_check_constraint(
        op.f("ck_alert_customer_or_rep"), "alert", "customer_id IS NOT NULL OR about_rep_id IS NOT NULL"
    )
    op.create_check_constraint(op.f("ck_alert_severity"), "alert", "severity IN ('urgent', 'normal')")
    op.create_index("ix_alert_inbox", "alert", ["recipient_id", "state", "created_at"])
    op.create_index("ix_alert_order_id", "alert", ["order_id"])


def _let_a_delivery_hold_many_alerts() -> None:
    op.create_table(
        "delivery_item",
        sa.Column("delivery_id", sa.UUID(), nullable=False),
        sa.Column("alert_id", sa.BigInteger(), nullable=False),
        sa.Column(
            "notice", sa.SmallInteger(), nullable=False, comment="how many times the alert was sent, from 1"
        ),
        sa.Column(
            "channel",
            sa.Text(),
            nullable=False,
            comment="copied from the delivery: one notice goes to each address once",
        ),
        sa.Column("recipient", sa.Text(), nullable=False, comment="copied from the delivery"),
        sa.ForeignKeyConstraint(["alert_id"], ["alert.id"], name=op.f("fk_delivery_item_alert_id")),
        sa.ForeignKeyConstraint(["delivery_id"], ["delivery.id"], name=op.f("fk_delivery_item_delivery_id")),
        sa.PrimaryKeyConstraint("delivery_id", "alert_id", name=op.f("pk_delivery_item")),
        sa.UniqueConstraint(
            "alert_id",
            "notice",
            "channel",
            "recipient",
            name=op.f("uq_delivery_item_alert_id_notice_channel_recipient"),
        ),
    )
    op.execute(
        "INSERT INTO delivery_item (delivery_id, alert_id, notice, channel, recipient)"
        " SELECT id, alert_id, notice, channel, recipient FROM delivery"
    )
    op.drop_column("delivery", "alert_id")
    op.drop_column("delivery", "notice")
    op.add_column(
        "delivery",
        sa.Column(
            "send_after",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="business time; NULL: at once",
        ),
    )
    op.add_column(
        "delivery",
        sa.Column(
            "receipt",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=True,
            comment="what the channel answered, such as the id of a task it made",
        ),
    )
    op.alter_column("delivery", "expires_at", comment="database clock")


def _name_what_people_did() -> None:
    op.execute(
        "UPDATE feedback SET action = CASE action WHEN 'done' THEN 'called' WHEN 'reopen' THEN 'undo' ELSE action END"
    )
    op.execute("UPDATE control SET name = 'sending_paused' WHERE name = 'sending_stopped'")
    op.alter_column("feedback", "action", comment="called, won, lost, snooze, dismiss, undo")
    for table in ("feedback", "audit"):
        op.add_column(
            table,
            sa.Column(
                "actor_id",
                sa.BigInteger(),
                nullable=True,
                comment="the user who acted, where one is known",
            ),
        )
        op.create_foreign_key(op.f(f"fk_{table}_actor_id"), table, "user", ["actor_id"], ["id"])


def downgrade() -> None:
    """Not offered: restore the backup taken before the upgrade."""
    raise NotImplementedError
