"""The SQL that writes staged rows of each entity: set-based, safe to run again.

`staged` holds the rows of the file, `:source` says whose ids they are. What a file leaves blank stays as it was.
"""

# A cost, a price or an owner without a day has always been.
_SINCE = "coalesce(staged.valid_from, DATE '1990-01-01')"
_CURRENCY = "coalesce(staged.currency, :base_currency)"

NEW_CUSTOMERS = """
WITH new AS MATERIALIZED (
    SELECT id, nextval(pg_get_serial_sequence('customer', 'id')) AS customer_id FROM staged
    WHERE NOT EXISTS (SELECT FROM customer_ref WHERE source = :source AND external_id = staged.id)
), made AS (
    INSERT INTO customer (id) OVERRIDING SYSTEM VALUE SELECT customer_id FROM new
)
INSERT INTO customer_ref (source, external_id, customer_id) SELECT :source, id, customer_id FROM new
"""

CUSTOMERS = """
UPDATE customer SET
    name = coalesce(staged.name, customer.name),
    status = coalesce(staged.status, customer.status),
    is_internal = coalesce(staged.internal, customer.is_internal),
    parent_id = coalesce(parent.customer_id, customer.parent_id),
    segment = coalesce(staged.segment, customer.segment),
    region = coalesce(staged.region, customer.region),
    territory_id = coalesce(territory.id, customer.territory_id),
    country = coalesce(staged.country, customer.country),
    city = coalesce(staged.city, customer.city),
    channel = coalesce(staged.channel, customer.channel),
    phone = coalesce(staged.phone, customer.phone),
    email = coalesce(staged.email, customer.email),
    currency = coalesce(staged.currency, customer.currency)
FROM staged
JOIN customer_ref ON customer_ref.source = :source AND customer_ref.external_id = staged.id
LEFT JOIN customer_ref AS parent ON parent.source = :source AND parent.external_id = staged.parent_id
LEFT JOIN territory ON territory.external_id = staged.territory_id
WHERE customer.id = customer_ref.customer_id
"""

NEW_PRODUCTS = """
WITH new AS MATERIALIZED (
    SELECT id, nextval(pg_get_serial_sequence('product', 'id')) AS product_id FROM staged
    WHERE NOT EXISTS (SELECT FROM product_ref WHERE source = :source AND external_id = staged.id)
), made AS (
    INSERT INTO product (id) OVERRIDING SYSTEM VALUE SELECT product_id FROM new
)
INSERT INTO product_ref (source, external_id, product_id) SELECT :source, id, product_id FROM new
"""

PRODUCTS = """
UPDATE product SET
    name = coalesce(staged.name, product.name),
    category = coalesce(staged.category, product.category),
    status = coalesce(staged.status, product.status),
    stock = coalesce(staged.stock, product.stock),
    list_price = coalesce(staged.list_price, product.list_price),
    floor_margin = coalesce(staged.floor_margin, product.floor_margin),
    currency = coalesce(staged.currency, product.currency),
    units_per_pack = coalesce(staged.units_per_pack, product.units_per_pack)
FROM staged
JOIN product_ref ON product_ref.source = :source AND product_ref.external_id = staged.id
WHERE product.id = product_ref.product_id
"""

OLD_SUBSTITUTES = """
DELETE FROM product_substitute USING staged, product_ref
WHERE staged.substitutes IS NOT NULL AND product_ref.source = :source AND product_ref.external_id = staged.id
  AND product_substitute.product_id = product_ref.product_id
"""

SUBSTITUTES = """
INSERT INTO product_substitute (product_id, substitute_id)
SELECT DISTINCT own.product_id, other.product_id FROM staged
JOIN product_ref AS own ON own.source = :source AND own.external_id = staged.id
CROSS JOIN unnest(string_to_array(staged.substitutes, ';')) AS wanted (sku)
JOIN product_ref AS other ON other.source = :source AND other.external_id = trim(wanted.sku)
WHERE other.product_id <> own.product_id
ON CONFLICT DO NOTHING
"""

COSTS = f"""
INSERT INTO product_cost (product_id, valid_from, cost, currency)
SELECT product_ref.product_id, {_SINCE}, staged.cost, {_CURRENCY} FROM staged
JOIN product_ref ON product_ref.source = :source AND product_ref.external_id = staged.product_id
ON CONFLICT (product_id, valid_from) DO UPDATE SET cost = excluded.cost, currency = excluded.currency
"""  # noqa: S608 - our own text

PRICE_BREAKS = f"""
INSERT INTO price_break (product_id, currency, valid_from, min_quantity, unit_price)
SELECT product_ref.product_id, {_CURRENCY}, {_SINCE}, staged.min_quantity, staged.unit_price FROM staged
JOIN product_ref ON product_ref.source = :source AND product_ref.external_id = staged.product_id
ON CONFLICT (product_id, currency, valid_from, min_quantity) DO UPDATE SET unit_price = excluded.unit_price
"""  # noqa: S608 - our own text

PRICE_AGREEMENTS = f"""
INSERT INTO price_agreement (customer_id, segment, product_id, category, currency, valid_from, valid_to, unit_price)
SELECT DISTINCT ON (1, 2, 3, 4, 5, 6) coalesce(customer.merged_into_id, customer.id), staged.segment,
       product_ref.product_id, staged.category, {_CURRENCY}, {_SINCE}, staged.valid_to, staged.unit_price
FROM staged
LEFT JOIN customer_ref ON customer_ref.source = :source AND customer_ref.external_id = staged.customer_id
LEFT JOIN customer ON customer.id = customer_ref.customer_id
LEFT JOIN product_ref ON product_ref.source = :source AND product_ref.external_id = staged.product_id
ORDER BY 1, 2, 3, 4, 5, 6, staged.row_no DESC
ON CONFLICT (customer_id, product_id, segment, category, currency, valid_from) DO UPDATE SET
    unit_price = excluded.unit_price, valid_to = coalesce(excluded.valid_to, price_agreement.valid_to)
"""  # noqa: S608 - our own text

CONTACTS = """
INSERT INTO contact (source, external_id, customer_id, at, channel, made_by, result)
SELECT :source, staged.id, coalesce(customer.merged_into_id, customer.id), staged.at, staged.channel, staged.by,
       staged.result
FROM staged
JOIN customer_ref ON customer_ref.source = :source AND customer_ref.external_id = staged.customer_id
JOIN customer ON customer.id = customer_ref.customer_id
ORDER BY staged.id
ON CONFLICT (source, external_id) DO UPDATE SET
    customer_id = excluded.customer_id, at = excluded.at, channel = coalesce(excluded.channel, contact.channel),
    made_by = coalesce(excluded.made_by, contact.made_by), result = coalesce(excluded.result, contact.result)
"""

HOLDS = """
INSERT INTO hold (customer_id, kind, valid_from, reference, valid_to, note)
SELECT DISTINCT ON (1, 2, 3, 4) coalesce(customer.merged_into_id, customer.id), staged.kind, staged.valid_from,
       coalesce(staged.reference, ''), staged.valid_to, staged.note
FROM staged
JOIN customer_ref ON customer_ref.source = :source AND customer_ref.external_id = staged.customer_id
JOIN customer ON customer.id = customer_ref.customer_id
ORDER BY 1, 2, 3, 4, staged.row_no DESC
ON CONFLICT (customer_id, kind, valid_from, reference) DO UPDATE SET
    valid_to = coalesce(excluded.valid_to, hold.valid_to), note = coalesce(excluded.note, hold.note)
"""

# There is one default owner: the last named.
OLD_DEFAULT_OWNER = """
UPDATE rep SET is_default_owner = false
WHERE is_default_owner AND EXISTS (SELECT FROM staged WHERE staged.default_owner)
"""

REPS = """
INSERT INTO rep (external_id, name, email, phone, time_zone, is_default_owner)
SELECT staged.id, staged.name, coalesce(staged.email, rep.email), coalesce(staged.phone, rep.phone),
       coalesce(staged.time_zone, rep.time_zone, 'UTC'), coalesce(staged.default_owner, rep.is_default_owner, false)
FROM staged LEFT JOIN rep ON rep.external_id = staged.id
ON CONFLICT (external_id) DO UPDATE SET
    name = excluded.name, email = excluded.email, phone = excluded.phone, time_zone = excluded.time_zone,
    is_default_owner = excluded.is_default_owner
"""

# Alerts go to users: every rep is one.
USERS = """
INSERT INTO "user" (name, email, role, rep_id, time_zone)
SELECT rep.name, rep.email, 'rep', rep.id, rep.time_zone FROM rep
WHERE rep.external_id IN (SELECT id FROM staged) ORDER BY rep.id
ON CONFLICT (rep_id) DO UPDATE SET
    name = excluded.name, email = excluded.email, time_zone = excluded.time_zone
"""

MANAGERS = """
UPDATE rep SET manager_id = manager.id FROM staged
JOIN rep AS manager ON manager.external_id = staged.manager_id
WHERE rep.external_id = staged.id
"""

TERRITORIES = """
INSERT INTO territory (external_id, name, region)
SELECT DISTINCT ON (id) id, name, region FROM staged ORDER BY id, valid_from DESC NULLS LAST
ON CONFLICT (external_id) DO UPDATE SET
    name = excluded.name, region = coalesce(excluded.region, territory.region)
"""

TERRITORY_OWNERS = f"""
INSERT INTO assignment (territory_id, rep_id, valid_from)
SELECT territory.id, rep.id, {_SINCE} FROM staged
JOIN territory ON territory.external_id = staged.id
JOIN rep ON rep.external_id = staged.rep_id
ON CONFLICT (territory_id, valid_from) DO UPDATE SET rep_id = excluded.rep_id
"""  # noqa: S608 - our own text

ASSIGNMENTS = f"""
INSERT INTO assignment (customer_id, rep_id, valid_from)
SELECT DISTINCT ON (1, 3) coalesce(customer.merged_into_id, customer.id), rep.id, {_SINCE} FROM staged
JOIN customer_ref ON customer_ref.source = :source AND customer_ref.external_id = staged.customer_id
JOIN customer ON customer.id = customer_ref.customer_id
JOIN rep ON rep.external_id = staged.rep_id
ORDER BY 1, 3, staged.row_no DESC
ON CONFLICT (customer_id, valid_from) DO UPDATE SET rep_id = excluded.rep_id
"""  # noqa: S608 - our own text

TARGETS = f"""
INSERT INTO target (rep_id, period_start, period_end, amount, currency)
SELECT rep.id, staged.period_start, staged.period_end, staged.amount, {_CURRENCY} FROM staged
JOIN rep ON rep.external_id = staged.rep_id
ON CONFLICT (rep_id, period_start, period_end)
DO UPDATE SET amount = excluded.amount, currency = excluded.currency
"""  # noqa: S608 - our own text

EXCHANGE_RATES = """
INSERT INTO fx_rate (currency, valid_on, rate) SELECT currency, valid_on, rate FROM staged
ON CONFLICT (currency, valid_on) DO UPDATE SET rate = excluded.rate
"""
