"""An installation with a row of everything, filled at each landed revision, loses nothing by the migrations."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import psycopg
import pytest
from psycopg import sql

from services.alerts.store import deliveries, endpoints, inbox, views
from services.explain import explain
from shared import migrations
from shared.db import DRAIN, Database
from shared.sealing import Unsealable, sealer_of
from shared.tables import metadata
from tests.alert_rows import NOW, rows, value
from tests.conftest import Servers
from tests.databases import conninfo, named

NAME = f"tipoff_test_filled_at_0001_{os.getpid()}"

SEALER = sealer_of("a secret key of more than 32 letters")

FILLED = """
INSERT INTO rep (external_id, name, email, time_zone, is_default_owner) VALUES
    ('ruth', 'Ruth', 'ruth@example.com', 'Europe/Berlin', false), ('nobody', 'Nobody yet', NULL, 'UTC', true);
INSERT INTO territory (external_id, name) VALUES ('north', 'North');
INSERT INTO customer (name, phone, territory_id) VALUES ('Acme', '+44 20 7946 0018', 1);
INSERT INTO customer_ref VALUES ('standard', 'C-1', 1);
INSERT INTO assignment (customer_id, rep_id, valid_from) VALUES (1, 1, '2010-01-01');
INSERT INTO target VALUES (1, '2011-01-01', '2011-03-31', 90000, 'EUR');
INSERT INTO product (name) VALUES ('Drill');
INSERT INTO product_ref VALUES ('standard', 'DRILL', 1);
INSERT INTO event (source, external_id, version, digest, is_head, door, state, body, normal)
    VALUES ('standard', 'SO-1', 1, 'x', true, 'webhook', 'applied', '{}', '{}');
INSERT INTO sales_order (source, external_id, version, digest, event_id, number, status, kind, counts, ordered_at,
    currency, customer_id, net, base_net)
    SELECT 'standard', 'SO-1', 1, 'x', id, 'INV-1', 'confirmed', 'sale', true, '2011-02-28 10:00Z', 'GBP', 1, 120, 120
    FROM event;
INSERT INTO signal (kind, customer_id, subject, cause, order_id, order_version, as_of, expires_at, probability, basis,
    stake, value, low, high, horizon_days, quiet_days, headline, question, evidence, detail, is_urgent, is_selling,
    is_proven, assumed_margin, detector_version)
    SELECT 'cross_sell', 1, 'product:' || n, 'line:1', 1, 1, '2011-02-28 10:00Z', '2011-03-05 10:00Z', 0.2, 'measured',
    125, 25, 10, 40, 90, 28, 'Buys drills, never drill bits', 'Who supplies them?', '[{"label": "a", "text": "b"}]',
    '{}', n = 1, true, true, false, '1' FROM generate_series(1, 3) n;
INSERT INTO policy_version (version, rules) VALUES ('p1', '{}');
INSERT INTO episode (customer_id, kind, subject, number, state, opened_at, last_seen_at, quiet_after, closed_at,
    close_reason, holdout_bucket, is_holdout, value, sent_at) VALUES
    (1, 'cross_sell', 'product:1', 1, 'open', '2011-02-28 10:00Z', '2011-02-28 10:00Z', '2011-03-28 10:00Z', NULL, NULL,
     7, false, 25, '2011-02-28 11:00Z'),
    (1, 'cross_sell', 'product:2', 1, 'closed', '2011-01-28 10:00Z', '2011-01-28 10:00Z', '2011-02-01 10:00Z',
     '2011-02-01 10:00Z', 'no new evidence', 8, false, 25, NULL),
    (1, 'cross_sell', 'product:3', 1, 'open', '2011-02-28 10:00Z', '2011-02-28 10:00Z', '2011-03-28 10:00Z', NULL, NULL,
     9, true, 25, NULL);
INSERT INTO alert (customer_id, rep_id, is_default_owner, order_id, business_day, verdict, reason, is_urgent,
    is_selling, value, as_of) VALUES
    (1, 1, false, 1, '2011-02-28', 'send', 'first_time', true, true, 25, '2011-02-28 10:00Z'),
    (1, 2, true, 1, '2011-02-28', 'keep', 'shadow_mode', false, true, 25, '2011-02-28 10:00Z');
INSERT INTO decision (signal_id, episode_id, alert_id, rank, verdict, reason, policy_version) VALUES
    (1, 1, 1, 1, 'send', 'first_time', 'p1'), (2, 2, 2, 1, 'keep', 'shadow_mode', 'p1'),
    (3, 3, NULL, NULL, 'drop', 'still_quiet', 'p1');
INSERT INTO endpoint (channel, address) VALUES ('webhook', 'https://example.com/hook');
INSERT INTO delivery (alert_id, notice, channel, recipient, endpoint_id, state, expires_at, sent_at)
    SELECT 1, 1, 'email', 'ruth@example.com', NULL, 'sent', now(), now()
    UNION ALL SELECT 1, 1, 'webhook', address, id, 'ready', now() + interval '1 day', NULL FROM endpoint;
INSERT INTO attempt (delivery_id, n, outcome, detail)
    SELECT id, 1, 'sent', 'thanks' FROM delivery WHERE channel = 'email';
INSERT INTO feedback (alert_id, action, by) VALUES (1, 'done', 'inbox'), (1, 'reopen', 'inbox');
INSERT INTO control (name, value, changed_by) VALUES ('sending_stopped', 'true', 'command');
INSERT INTO audit (actor, action, object) VALUES ('command', 'stop sending', 'all channels'),
    ('command', 'add endpoint', 'webhook https://example.com/hook');
INSERT INTO task (queue, kind, key) VALUES ('alerts', 'decide', '1:1');
INSERT INTO task (queue, kind, key) SELECT 'alerts', 'deliver', id::text FROM delivery WHERE state = 'ready';
"""

FILLED_AT_0002 = """
UPDATE customer SET status = 'blocked', segment = 'builders';
INSERT INTO product (name, status, stock) VALUES ('Saw', 'discontinued', 0);
INSERT INTO api_token (digest, name, source, scopes, last_used_at) VALUES ('x', 'till', 'standard', '{}', now());
INSERT INTO signal (kind, customer_id, subject, cause, occasion, as_of, expires_at, probability, basis, stake, value,
    low, high, horizon_days, quiet_days, headline, question, evidence, detail, severity, is_selling, is_proven,
    assumed_margin, detector_version)
    VALUES ('quiet', 1, 'customer', 'day', 'customer:1:2011-03-01', '2011-03-01', '2011-03-08', 0.2, 'measured', 125,
    25, 10, 40, 90, 28, 'Fell quiet', 'Why?', '[]', '{}', 'normal', true, true, false, '1');
INSERT INTO alert (occasion, recipient_id, customer_id, is_default_owner, business_day, verdict, reason, severity,
    is_selling, value, as_of, group_key) VALUES
    ('customer:1:2011-03-01', 1, 1, false, '2011-03-01', 'digest', 'first_time', 'normal', true, 25, '2011-03-01', 'g');
INSERT INTO decision (signal_id, alert_id, rank, verdict, reason, policy_version)
    VALUES (4, 3, 1, 'digest', 'first_time', 'p1');
"""

FILLED_AT_0003 = """
INSERT INTO signal (kind, customer_id, subject, cause, occasion, as_of, expires_at, probability, basis, stake, value,
    low, high, horizon_days, quiet_days, headline, question, evidence, detail, facts, severity, action, is_selling,
    is_proven, assumed_margin, detector_version)
    VALUES ('going_quiet', 1, 'orders', 'silence', 'customer:1:2011-03-02', '2011-03-02', '2011-03-09', 0.3, 'measured',
    125, 25, 10, 40, 90, 60, 'No order for 61 days', 'Why?', '[]', '{}', '{"customer_id": 1}', 'normal', 'call', false,
    true, false, '1');
INSERT INTO decision (signal_id, verdict, reason, inhibited_by, policy_version)
    VALUES (5, 'suppressed', 'held_out', NULL, 'p1');
INSERT INTO first_evaluation (kind, version, day, old) VALUES ('going_quiet', '1/1', '2011-03-02', 3);
INSERT INTO hold (customer_id, kind, valid_from) VALUES (1, 'complaint', '2011-03-01');
"""


FILLED_AT_0004 = """
INSERT INTO outcome (signal_id, kind, customer_id, subject, as_of, horizon_days, is_notified, reason, probability,
    basis, stake, value, observed_at)
    VALUES (5, 'going_quiet', 1, 'orders', '2011-03-02', 90, false, 'held_out', 0.3, 'measured', 125, 25, '2011-06-01');
INSERT INTO evaluation (kind, as_of, seen_until) VALUES ('going_quiet', '2011-03-02', '2011-03-02');
UPDATE alert SET state = 'dismissed', closed_at = '2011-03-03 09:00Z' WHERE id = 2;
"""


@contextmanager
def fresh_database(servers: Servers, name: str) -> Iterator[str]:
    """Create an empty database and drop it in the end."""
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(conninfo(servers.database_url), autocommit=True) as server:
        server.execute(drop)
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        yield named(servers.database_url, name)
        server.execute(drop)


@pytest.fixture(scope="module")
def upgraded(servers: Servers) -> Iterator[Database]:
    """A database that was filled at each landed revision, and upgraded."""
    with fresh_database(servers, NAME) as url:
        for revision, fill in (
            ("0001", FILLED),
            ("0002", FILLED_AT_0002),
            ("0003", FILLED_AT_0003),
            ("0004", FILLED_AT_0004),
        ):
            migrations.upgrade(url, revision)
            with psycopg.connect(conninfo(url)) as connection:
                connection.execute(fill)
        migrations.upgrade(url)
        database = Database(url, DRAIN)
        with database.transaction() as connection:
            assert endpoints.seal_stored(connection, SEALER) == 1
            assert endpoints.seal_stored(connection, sealer_of("another key of more than 32 letters")) == 0
        yield database
        database.close()


OF_TABLES = "name NOT LIKE 'order\\_line\\_%' AND name <> 'alembic_version'"
SCHEMA = {
    "columns": "SELECT relname AS name, attname, format_type(atttypid, atttypmod), attnotnull, attidentity,"
    " pg_get_expr(adbin, adrelid), col_description(attrelid, attnum) FROM pg_attribute JOIN pg_class"
    " ON pg_class.oid = attrelid LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
    " WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped",
    "constraints": "SELECT conrelid::regclass::text AS name, conname, pg_get_constraintdef(oid) FROM pg_constraint"
    " WHERE connamespace = 'public'::regnamespace AND contype <> 'n'",
    "indexes": "SELECT tablename::text AS name, indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'",
}


@pytest.fixture(scope="module")
def created(servers: Servers) -> Iterator[Database]:
    """A database whose tables were created from the code, without a migration."""
    with fresh_database(servers, f"{NAME}_created") as url:
        database = Database(url, DRAIN)
        metadata.create_all(database.engine)
        yield database
        database.close()


@pytest.mark.parametrize("part", SCHEMA)
def test_the_migrations_make_the_tables_of_the_code(upgraded: Database, created: Database, part: str) -> None:
    question = f"SELECT * FROM ({SCHEMA[part]}) AS found WHERE {OF_TABLES}"
    migrated, wanted = ({tuple(row) for row in rows(each, question)} for each in (upgraded, created))
    assert len(wanted) > 40
    assert migrated == wanted


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(
            'SELECT name, email, role, rep_id, time_zone FROM "user" ORDER BY id',
            [("Ruth", "ruth@example.com", "rep", 1, "Europe/Berlin"), ("Nobody yet", None, "rep", 2, "UTC")],
            id="every rep is a user",
        ),
        pytest.param(
            "SELECT rep_id, territory_id, amount FROM target", [(1, None, 90000)], id="targets keep their rep"
        ),
        pytest.param(
            "SELECT subject, closed_at IS NULL, notified_at IS NULL FROM episode ORDER BY id",
            [("product:1", True, False), ("product:2", False, True), ("product:3", True, True)],
            id="episodes are open while nothing closed them",
        ),
        pytest.param(
            "SELECT episode_id, from_state, to_state FROM episode_event ORDER BY id",
            [
                (1, None, "open"),
                (1, "open", "notified"),
                (2, None, "open"),
                (2, "open", "closed"),
                (3, None, "open"),
            ],
            id="what is known of an episode's past is its history",
        ),
        pytest.param(
            "SELECT occasion, recipient_id, order_id, severity, verdict, notified_at IS NOT NULL FROM alert"
            " ORDER BY id",
            [
                ("order:1", 1, 1, "urgent", "notify", True),
                ("order:1", 2, 1, "normal", "inbox_only", True),
                ("customer:1:2011-03-01", 1, None, "normal", "digest", False),
            ],
            id="alerts have an occasion and a recipient",
        ),
        pytest.param(
            "SELECT verdict, reason FROM decision ORDER BY signal_id",
            [
                ("notify", "first_time"),
                ("inbox_only", "shadow_mode"),
                ("suppressed", "within_repeat_interval"),
                ("digest", "first_time"),
                ("suppressed", "held_out"),
            ],
            id="every decision stands, in today's words",
        ),
        pytest.param(
            "SELECT alert_id, notice, delivery.channel, state, delivery.recipient = delivery_item.recipient,"
            " delivery.recipient = coalesce(endpoint_id::text, 'ruth@example.com') FROM delivery"
            " JOIN delivery_item ON delivery_id = id ORDER BY delivery.channel",
            [(1, 1, "email", "sent", True, True), (1, 1, "webhook", "ready", True, True)],
            id="every delivery still has its alert",
        ),
        pytest.param("SELECT n, outcome, detail FROM attempt", [(1, "sent", "thanks")], id="attempts stand"),
        pytest.param(
            "SELECT action FROM feedback ORDER BY id", [("called",), ("undo",)], id="feedback stands"
        ),
        pytest.param(
            "SELECT customer_id, history.status, history.segment, valid_from = created_at"
            " FROM customer_history AS history JOIN customer ON customer.id = customer_id",
            [(1, "blocked", "builders", True)],
            id="what is known of a customer begins its history",
        ),
        pytest.param(
            "SELECT product_id, status, stock FROM product_history ORDER BY product_id",
            [(1, "active", None), (2, "discontinued", 0)],
            id="what is known of products begins their history",
        ),
        pytest.param(
            "SELECT kind, is_inbox_only FROM signal WHERE occasion LIKE 'customer:%' ORDER BY id",
            [("quiet", False), ("going_quiet", False)],
            id="what is found of days may be sent, as before",
        ),
        pytest.param(
            "SELECT (SELECT count(*) FROM outcome), (SELECT count(*) FROM evaluation), old FROM first_evaluation",
            [(1, 1, 3)],
            id="outcomes, evaluations and first evaluations stand",
        ),
        pytest.param(
            "SELECT alert_id, episode_id, kind, subject, reason, until - since FROM dismissal",
            [(2, 2, "cross_sell", "product:2", "not_worth_it", timedelta(days=90))],
            id="what was dismissed is silent for 90 days",
        ),
        pytest.param(
            "SELECT on_unknown, is_for_operators FROM endpoint",
            [("retry", False)],
            id="endpoints hear of alerts and are tried again",
        ),
        pytest.param(
            "SELECT name, address LIKE 'sealed.%', length(address_digest), signing_secret FROM endpoint",
            [("webhook example.com", True, 64, None)],
            id="endpoints have a name and a sealed address",
        ),
        pytest.param(
            "SELECT object = 'webhook ' || (SELECT id FROM endpoint) FROM audit WHERE action = 'add endpoint'",
            [(True,)],
            id="the audit names no address",
        ),
        pytest.param("SELECT name, source FROM api_token", [("till", "standard")], id="tokens stand"),
        pytest.param("SELECT name, value FROM control", [("sending_paused", True)], id="a pause still holds"),
    ],
)
def test_after_the_upgrade(upgraded: Database, query: str, expected: list[tuple[object, ...]]) -> None:
    assert [tuple(row) for row in rows(upgraded, query)] == expected


def test_an_endpoints_address_is_read_with_the_key_and_with_no_other(upgraded: Database) -> None:
    with upgraded.transaction() as connection:
        found = endpoints.find(connection, "https://example.com/hook", SEALER)
    assert found is not None
    assert endpoints.address_of(found, SEALER) == "https://example.com/hook"
    with pytest.raises(Unsealable):
        endpoints.address_of(found, sealer_of("another key of more than 32 letters"))


def test_the_inbox_still_shows_it(upgraded: Database) -> None:
    with upgraded.transaction() as connection:
        (listed,) = inbox.rows_of(connection, "to-call", None, NOW)
        (dismissed,) = inbox.rows_of(connection, "done", None, NOW)
        public_id = listed.public_id
        found = inbox.find(connection, public_id)
        assert found is not None
        view = views.load(connection, [found.id], "GBP")[found.id]
        taken = deliveries.delivery_log(connection, found.id)
    for each in (listed, dismissed):
        assert (each.customer, each.headline) == ("Acme", "Buys drills, never drill bits")
    assert (listed.rep, dismissed.state) == ("Ruth", "dismissed")
    assert (view.customer, view.order_number, view.is_urgent) == ("Acme", "INV-1", True)
    assert [(each.channel, len(each.attempts)) for each in taken] == [("email", 1), ("webhook", 0)]


def test_explain_still_tells_the_whole_way(upgraded: Database) -> None:
    delivery = str(value(upgraded, "SELECT id FROM delivery WHERE channel = 'email'"))
    with upgraded.transaction() as connection:
        told = {asked: {step.what for step in explain(connection, asked)} for asked in ("SO-1", delivery)}
    whole = {
        "event",
        "facts",
        "signal",
        "evidence",
        "replayed",
        "decision",
        "task",
        "alert",
        "delivery",
        "attempt",
        "feedback",
    }
    assert told == {"SO-1": whole, delivery: whole}
