"""The bodies of ingest in its OpenAPI document, from the models that read them.

APIFlask would read each body a second time to describe it; so the entry points read bodies themselves.
"""

from collections.abc import Iterable
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel, TypeAdapter

from services.ingest import bulk, facts
from services.ingest.body import OrderBody
from services.ingest.source import Source

REFERENCE = "#/components/schemas/{model}"


def describe_bodies(app: APIFlask, sources: Iterable[Source]) -> None:
    """Add the request bodies to the document of a service, after whatever else is done to it."""
    others = app.spec_callback
    bodies = [source.body for source in sources]

    @app.spec_processor
    def add_bodies(spec: dict[str, Any] | str) -> dict[str, Any] | str:
        if others is not None:
            spec = others(spec)
        if isinstance(spec, str):
            return spec
        order = {"$ref": REFERENCE.format(model=OrderBody.__name__)}
        sent = [{"$ref": REFERENCE.format(model=body.__name__)} for body in bodies]
        _take(spec, "/v1/orders", {"application/json": order, bulk.MEDIA_TYPE: order})
        _take(
            spec, "/hooks/{connection}", {"application/json": sent[0] if len(sent) == 1 else {"anyOf": sent}}
        )
        of_facts = [{"$ref": REFERENCE.format(model=body.__name__)} for body in facts.BODIES.values()]
        _take(spec, "/v1/facts", {"application/json": {"anyOf": of_facts}})
        schemas = spec.setdefault("components", {}).setdefault("schemas", {})
        models: list[type[BaseModel]] = [OrderBody, *facts.BODIES.values(), *bodies]
        for model in models:
            schema = TypeAdapter(model).json_schema(ref_template=REFERENCE)
            schemas |= {**schema.pop("$defs", {}), model.__name__: schema}
        return spec


def _take(spec: dict[str, Any], path: str, schemas: dict[str, dict[str, Any]]) -> None:
    content = {media_type: {"schema": schema} for media_type, schema in schemas.items()}
    spec["paths"][path]["post"]["requestBody"] = {"required": True, "content": content}
