"""Derived tables: what the nightly fit learnt, every row beside the run that made it."""

from sqlalchemy import Boolean, Column, Float, Identity, Index, Integer, Table, Text, text
from sqlalchemy.dialects.postgresql import ARRAY

from shared.tables.base import Id, Json, Moment, metadata

model_run = Table(
    "model_run",
    metadata,
    Column("id", Id, Identity(always=True), primary_key=True),
    Column("as_of", Moment, nullable=False, comment="facts before this moment, none after"),
    Column("started_at", Moment, nullable=False, server_default=text("now()")),
    Column("finished_at", Moment),
    Column("is_current", Boolean, nullable=False, server_default=text("false")),
    Column("version", Text, nullable=False, comment="of the fitting code"),
    Column("grades", Json, nullable=False, server_default=text("'{}'::jsonb")),
    Index("uq_model_run_current", "is_current", unique=True, postgresql_where=text("is_current")),
)

item_neighbour = Table(
    "item_neighbour",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("product_id", Id, primary_key=True),
    Column("neighbour_id", Id, primary_key=True),
    Column(
        "score",
        Float,
        nullable=False,
        comment="rank and sum by this: see services.scoring.fit.models.neighbours",
    ),
    Column("buyers", Integer, nullable=False, comment="customers who bought product_id"),
    Column("both", Integer, nullable=False, comment="customers who bought both"),
    Column("lift", Float, nullable=False, comment="evidence to show, never a score"),
)

customer_candidate = Table(
    "customer_candidate",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("customer_id", Id, primary_key=True),
    Column("product_ids", ARRAY(Id), nullable=False),
    Column("scores", ARRAY(Float), nullable=False),
)

item_fact = Table(
    "item_fact",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("product_id", Id, primary_key=True),
    Column("name", Text, comment="product master, else the commonest title on priced lines"),
    Column("buyers", Integer, nullable=False),
    Column("recent_buyers", Integer, nullable=False, comment="distinct accounts in the last 60 days"),
    Column("first_quantity", Float, comment="median quantity of accounts' first purchase"),
    Column("line_quantity", Float, comment="median quantity of an account line, last 365 days"),
    Column("unit_price", Float, comment="median base unit price of account lines, last 180 days"),
    Column("margin_rate", Float, comment="median over account lines of known cost, last 365 days"),
    Column("category_margin_rate", Float),
    Column("repeats", Float, comment="mean further order days within 90 days of the first purchase"),
)

price_band = Table(
    "price_band",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("product_id", Id, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("min_quantity", Float, primary_key=True),
    Column("max_quantity", Float),
    Column("buyers", Integer, nullable=False),
    Column(
        "unit_price", Float, nullable=False, comment="median of one price a customer, 90 days, own currency"
    ),
    Column("low_price", Float, nullable=False, comment="a tenth of the customers pay this or less"),
    Column("latest_price", Float, nullable=False, comment="what most of the last five customers paid"),
)

usual_break = Table(
    "usual_break",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("product_id", Id, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("min_quantity", Float, primary_key=True),
    Column("unit_price", Float, nullable=False, comment="the commonest account price from that quantity on"),
    Column("usual_price", Float, nullable=False, comment="the commonest account price just below it"),
    Column("buyers", Integer, nullable=False, comment="accounts that got the lower price"),
)

order_size = Table(
    "order_size",
    metadata,
    Column("model_run_id", Id, primary_key=True),
    Column("segment", Text, primary_key=True, comment="'' without one; '*' is everybody"),
    Column("customers", Integer, nullable=False),
    Column("p60", Float, nullable=False),
    Column("p75", Float, nullable=False),
)
