"""Outside ids of customers and products: matched to ours, and made when they are new."""

from collections.abc import Collection, Mapping

import msgspec
from sqlalchemy import Connection, TextClause, text

from shared.domain.order import CustomerRef, Line

Name = tuple[str, str]
"""(source, outside id)."""

_FIND_CUSTOMERS = text(
    "SELECT name.source, name.external_id, coalesce(customer.merged_into_id, customer.id) AS id"
    " FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS name (source, external_id)"
    " JOIN customer_ref USING (source, external_id) JOIN customer ON customer.id = customer_ref.customer_id"
)

_MAKE_CUSTOMERS = text(
    "WITH wanted AS MATERIALIZED ("
    "  SELECT new.*, nextval(pg_get_serial_sequence('customer', 'id')) AS id"
    "  FROM json_to_recordset(CAST(:rows AS json)) AS new"
    "  (source text, external_id text, name text, status text, is_internal boolean)),"
    " made AS (INSERT INTO customer (id, name, status, is_internal) OVERRIDING SYSTEM VALUE"
    "  SELECT id, name, coalesce(status, 'active'), is_internal FROM wanted)"
    " INSERT INTO customer_ref (source, external_id, customer_id) SELECT source, external_id, id FROM wanted"
    " ON CONFLICT DO NOTHING"
)

# Master data knows better: a parent it gave stays.
_NAME_PARENTS = text(
    "UPDATE customer SET parent_id = parent.customer_id"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:sources AS text[]), CAST(:names AS text[])) AS told (id, source, name)"
    " JOIN customer_ref AS parent ON parent.source = told.source AND parent.external_id = told.name"
    " WHERE customer.id = told.id AND customer.parent_id IS NULL AND parent.customer_id <> customer.id"
)

_FIND_PRODUCTS = text(
    "SELECT source, external_id, product_id AS id"
    " FROM unnest(CAST(:sources AS text[]), CAST(:ids AS text[])) AS name (source, external_id)"
    " JOIN product_ref USING (source, external_id)"
)

_MAKE_PRODUCTS = text(
    "WITH wanted AS MATERIALIZED ("
    "  SELECT new.*, nextval(pg_get_serial_sequence('product', 'id')) AS id"
    "  FROM json_to_recordset(CAST(:rows AS json)) AS new (source text, external_id text, category text)),"
    " made AS (INSERT INTO product (id, category) OVERRIDING SYSTEM VALUE SELECT id, category FROM wanted)"
    " INSERT INTO product_ref (source, external_id, product_id) SELECT source, external_id, id FROM wanted"
    " ON CONFLICT DO NOTHING"
)


def customer_ids(connection: Connection, named: Mapping[Name, CustomerRef]) -> dict[Name, int]:
    """Return our id for every customer named, making those we do not know. Merged ones count for the other."""
    rows = {
        name: {"name": each.name, "status": each.status, "is_internal": each.internal}
        for name, each in named.items()
    }
    return _find_or_make(connection, rows, _FIND_CUSTOMERS, _MAKE_CUSTOMERS)


def name_parents(connection: Connection, parent_of: Mapping[int, Name]) -> None:
    """Note the account that customers belong to, where nobody said so before. Lock them first, or the names."""
    if parent_of:
        sources, names = zip(*parent_of.values(), strict=True)
        values = {"ids": list(parent_of), "sources": list(sources), "names": list(names)}
        connection.execute(_NAME_PARENTS, values)


def product_ids(connection: Connection, named: Mapping[Name, Line]) -> dict[Name, int]:
    """Return our id for every product named, making those we do not know with the category of their line."""
    rows = {name: {"category": line.category} for name, line in named.items()}
    return _find_or_make(connection, rows, _FIND_PRODUCTS, _MAKE_PRODUCTS)


def known_products(connection: Connection, named: Collection[Name]) -> dict[Name, int]:
    """Return our id for the products named that we know: it never changes."""
    return _find(connection, _FIND_PRODUCTS, named)


def lock_new_names(connection: Connection) -> None:
    """Let nobody else make customers or products until the transaction ends: none is made twice."""
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('new customers and products'))"))


def _find_or_make(
    connection: Connection, rows: Mapping[Name, Mapping[str, object]], find: TextClause, make: TextClause
) -> dict[Name, int]:
    found = _find(connection, find, rows)
    if len(found) == len(rows):
        return found
    lock_new_names(connection)
    found |= _find(connection, find, [name for name in rows if name not in found])
    missing = sorted(name for name in rows if name not in found)
    new = [{"source": name[0], "external_id": name[1], **rows[name]} for name in missing]
    connection.execute(make, {"rows": msgspec.json.encode(new).decode()})
    return found | _find(connection, find, missing)


def _find(connection: Connection, statement: TextClause, named: Collection[Name]) -> dict[Name, int]:
    if not named:
        return {}
    sources, ids = zip(*named, strict=True)
    rows = connection.execute(statement, {"sources": list(sources), "ids": list(ids)}).all()
    return {(row[0], row[1]): row[2] for row in rows}
