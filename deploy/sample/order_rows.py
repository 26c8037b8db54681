"""An order of the sample company as rows of an import file and as the object a webhook carries."""

from collections.abc import Iterator
from typing import Any

from deploy.sample.orders import SampleLine, SampleOrder

ORDER_COLUMNS = (
    "order_id,version,number,ordered_at,currency,channel,rep_id,order_status,order_kind,original_order_id,"
    "customer_id,customer_name,order_discount,prices_include_tax,test,line_id,line_kind,sku,title,category,"
    "quantity,uom,units_per_pack,unit_price,discount,net_unit_price,tax,cost,returns_order_id,returns_line_id,reason"
)


def as_rows(order: SampleOrder) -> Iterator[tuple[Any, ...]]:
    """One row a line. Costs are left to the cost file, net prices to whoever reads."""
    customer = order.customer
    head = (
        order.id, order.version, _number(order), order.ordered_at.isoformat(), order.currency, order.channel,
        order.rep_id, order.status, order.kind, order.original_order_id, customer.id if customer else "",
        customer.name if customer else "", order.discount or "", "false", str(order.is_test).lower(),
    )  # fmt: skip
    for line in order.lines:
        product = line.product
        yield (
            *head, line.id, line.kind, product.sku if product else "", line.title,
            product.category if product else "", line.quantity, line.uom, line.pack, line.unit_price,
            line.discount or "", "", "", "", *(line.returns or ("", "")), line.reason,
        )  # fmt: skip


def as_object(order: SampleOrder) -> dict[str, Any]:
    """The order as `POST /v1/orders` takes it."""
    body: dict[str, Any] = {
        "id": order.id,
        "version": order.version,
        "number": _number(order),
        "ordered_at": order.ordered_at.isoformat(),
        "currency": order.currency,
        "channel": order.channel,
        "rep_id": order.rep_id or None,
        "status": order.status,
        "kind": order.kind,
        "test": order.is_test,
        "original_order_id": order.original_order_id or None,
        "prices_include_tax": False,
        "discount": str(order.discount) if order.discount else None,
        "customer": _customer(order),
        "lines": [_line(line) for line in order.lines],
    }
    return {name: value for name, value in body.items() if value is not None or name == "customer"}


def _number(order: SampleOrder) -> str:
    return order.id.partition("-")[2]


def _customer(order: SampleOrder) -> dict[str, Any] | None:
    customer = order.customer
    if customer is None:
        return None
    body = {
        "id": customer.id,
        "name": customer.name,
        "status": customer.status,
        "internal": customer.is_internal,
    }
    return body | ({"parent_id": customer.parent_id} if customer.parent_id else {})


def _line(line: SampleLine) -> dict[str, Any]:
    body: dict[str, Any] = {
        "id": line.id,
        "kind": line.kind,
        "sku": line.product.sku if line.product else None,
        "title": line.title,
        "category": line.product.category if line.product else None,
        "quantity": str(line.quantity),
        "uom": line.uom,
        "units_per_pack": str(line.pack),
        "unit_price": str(line.unit_price),
        "discount": str(line.discount) if line.discount else None,
        "returns": dict(zip(("order_id", "line_id"), line.returns, strict=True)) if line.returns else None,
        "reason": line.reason or None,
    }
    return {name: value for name, value in body.items() if value is not None}
