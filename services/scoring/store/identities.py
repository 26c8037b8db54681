"""This file maps outside names of customers and products to ours, and makes the new ones."""

from collections.abc import Callable, Collection, Mapping, Sequence

from sqlalchemy import Connection, TextClause, text

from services.scoring.facts import CustomerFacts
from services.scoring.store.rows import as_array, as_json
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

    def row(name: Name) -> dict[str, object]:
        customer = named[name]
        return {"name": customer.name, "status": customer.status, "is_internal": customer.internal}

    return _known_or_made(connection, named, _FIND_CUSTOMERS, _MAKE_CUSTOMERS, row)


_NAME_PARENTS = text(
    "UPDATE customer SET parent_id = parent.customer_id"
    " FROM unnest(CAST(:ids AS bigint[]), CAST(:sources AS text[]), CAST(:names AS text[])) AS told (id, source, name)"
    " JOIN customer_ref AS parent ON parent.source = told.source AND parent.external_id = told.name"
    " WHERE customer.id = told.id AND customer.parent_id IS NULL AND parent.customer_id <> customer.id"
)


def name_parents(connection: Connection, parent_of: Mapping[int, Name]) -> None:
    """Note the account that locked customers belong to, where nobody said so before."""
    if not parent_of:
        return
    ids = as_array(parent_of)
    sources, names = zip(*parent_of.values(), strict=True)
    connection.execute(_NAME_PARENTS, {"ids": ids, "sources": list(sources), "names": list(names)})


def product_ids(connection: Connection, named: Mapping[Name, Line]) -> dict[Name, int]:
    """Return our id for every product named, making those we do not know with the category of their line."""
    return _known_or_made(
        connection, named, _FIND_PRODUCTS, _MAKE_PRODUCTS, lambda name: {"category": named[name].category}
    )


def _known_or_made(
    connection: Connection,
    named: Collection[Name],
    find: TextClause,
    make: TextClause,
    row: Callable[[Name], dict[str, object]],
) -> dict[Name, int]:
    """Look names up; make what is missing under a lock, so that nothing is made twice."""
    found = _find(connection, find, named)
    if len(found) == len(named):
        return found
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('new customers and products'))"))
    found |= _find(connection, find, [name for name in named if name not in found])
    missing = sorted(name for name in named if name not in found)
    rows = [{"source": name[0], "external_id": name[1], **row(name)} for name in missing]
    connection.execute(make, {"rows": as_json(rows)})
    return found | _find(connection, find, missing)


def _find(connection: Connection, statement: TextClause, named: Collection[Name]) -> dict[Name, int]:
    if not named:
        return {}
    sources, ids = zip(*named, strict=True)
    rows = connection.execute(statement, {"sources": list(sources), "ids": list(ids)}).all()
    return {(row[0], row[1]): row[2] for row in rows}


def lock_customers(connection: Connection, ids: Sequence[int]) -> dict[int, CustomerFacts]:
    """Return these customers, held until commit: their state is rebuilt by one worker at a time."""
    rows = connection.execute(
        text(
            "SELECT id, name, status, is_internal, segment, channel FROM customer"
            " WHERE id = ANY(CAST(:ids AS bigint[])) ORDER BY id FOR NO KEY UPDATE"
        ),
        {"ids": as_array(ids)},
    ).all()
    return {row[0]: CustomerFacts(*row) for row in rows}
