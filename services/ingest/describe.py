"""The bodies of ingest in its OpenAPI document.

The entry points read bodies themselves, once, as microseconds count; so what they take is described here, from the
same models.
"""

from typing import Any

from apiflask import APIFlask
from pydantic import TypeAdapter

from services.ingest import bulk
from services.ingest.body import Envelope, OrderBody

REFERENCE = "#/components/schemas/{model}"


def describe_bodies(app: APIFlask) -> None:
    """Add the request bodies to the document of a service, after whatever else is done to it."""
    others = app.spec_callback

    @app.spec_processor
    def add_bodies(spec: dict[str, Any] | str) -> dict[str, Any] | str:
        if others is not None:
            spec = others(spec)
        if isinstance(spec, str):
            return spec
        order, envelope = REFERENCE.format(model="OrderBody"), REFERENCE.format(model="Envelope")
        _take(spec, "/v1/orders", {"application/json": order, bulk.MEDIA_TYPE: order})
        _take(spec, "/hooks/{connection}", {"application/json": envelope})
        spec.setdefault("components", {}).setdefault("schemas", {}).update(_schemas())
        return spec


def _take(spec: dict[str, Any], path: str, schemas: dict[str, str]) -> None:
    content = {media_type: {"schema": {"$ref": reference}} for media_type, reference in schemas.items()}
    spec["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}


def _schemas() -> dict[str, Any]:
    """Every model a body is made of."""
    found: dict[str, Any] = {}
    for model in (OrderBody, Envelope):
        schema = TypeAdapter(model).json_schema(ref_template=REFERENCE)
        found |= schema.pop("$defs", {}) | {model.__name__: schema}
    return found
