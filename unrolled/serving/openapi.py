"""The description of the routes, made true for the models that are served: their names, and the columns they read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi.openapi.utils import get_openapi

from unrolled.datasets.inputs import TOKENS
from unrolled.datasets.media_codecs import MEDIA_CODECS
from unrolled.serving.raw import FARTHEST

if TYPE_CHECKING:
    from fastapi import FastAPI

    from unrolled.serving.served import Served

NUMBER = {"type": ["number", "null"], "minimum": -FARTHEST, "maximum": FARTHEST}


def describe(app: FastAPI, served: Served) -> dict[str, Any]:
    """OpenAPI 3.1, made anew at each call: it is asked for once."""
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    schemas = made["components"]["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    of = {name: engine.model.task for name, engine in served.engines.items()}
    writers = [name for name, task in of.items() if task.kind == "generate"]
    _texts(schemas, served, writers)
    for path, item in list(made["paths"].items()):
        for operation in item.values():
            if "HTTPValidationError" in str(operation["responses"].get("422")):
                del operation["responses"]["422"]
            if not _honest(operation, path, of, served.limits.rows):
                del made["paths"][path]
    if served.engines:
        made["paths"]["/v1/models/{model}"]["get"]["parameters"][0]["schema"] |= {"enum": list(of)}
    return made


def _texts(schemas: dict[str, Any], served: Served, writers: list[str]) -> None:
    """The bounds that depend on the models."""
    body, music = schemas["CompletionBody"]["properties"], schemas["MusicBody"]["properties"]
    body["model"]["enum"] = writers or [""]
    music["model"]["enum"] = [n for n in writers if served.engines[n].model.task.music] or [""]
    sizes = [served.engines[name].model.task.codec.size for name in writers]
    for options in (body, music):
        for one in options["max_tokens"]["anyOf"]:
            if one.get("type") == "integer":
                one["maximum"] = served.limits.length
    for one in body["prompt"]["anyOf"]:
        if one.get("items", {}).get("type") == "integer":
            one["items"]["maximum"] = min(sizes, default=1) - 1
            one["maxItems"] = served.limits.prompt


def _honest(operation: dict[str, Any], path: str, of: dict[str, Any], most: int) -> bool:
    """What a route takes of the served models, in place of what it would take of any -> whether there is one for it.
    most: rows of one request.
    """
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    body = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    if body in ("CompletionBody", "MusicBody"):
        writers = [task for task in of.values() if task.kind == "generate"]
        return any(body == "CompletionBody" or task.music for task in writers)
    if body != "PredictBody":
        return True
    kind = path.rpartition("/")[2]
    fitting = {n: t for n, t in of.items() if t.kind == kind or (kind == "predict" and t.kind != "generate")}
    content["schema"] = {"oneOf": [way for name, task in fitting.items() for way in _ways(name, task, most)]}
    return bool(fitting)


def _ways(name: str, task: Any, most: int) -> list[dict[str, Any]]:
    """The two forms in which one model's rows, `most` of them, may be sent."""
    codecs = {f.name: f.codec for f in task.codec.fields} if task.codec.kind == "together" else {}
    columns = {column: _value(codecs.get(column, task.codec)) for column in task.inputs}
    row = {"type": "object", "properties": columns, "required": list(columns)}
    one = next(iter(columns.values())) if len(columns) == 1 else row
    model = {"const": name}
    rows = {"type": "array", "items": row, "minItems": 1, "maxItems": most}
    return [
        {
            "type": "object", "properties": {"model": model, key: value}, "required": ["model", key],
            "additionalProperties": False,
        }
        for key, value in (("rows", rows), ("input", one))
    ]  # fmt: skip


def _value(codec: Any) -> dict[str, Any]:
    """What a column holds, as JSON says it; null is a missing value."""
    if codec.kind in MEDIA_CODECS:
        return {"type": ["string", "null"], "contentEncoding": "base64"}
    if codec.kind == "items":
        return {"anyOf": [{"type": ["string", "null"]}, {"type": "array", "items": {"type": "string"}}]}
    if codec.kind in TOKENS:
        return {"type": ["string", "null"]}
    if codec.channels == 1:
        return {"type": ["array", "null"], "items": NUMBER}
    step = {"type": "array", "items": NUMBER, "minItems": codec.channels, "maxItems": codec.channels}
    return {"type": ["array", "null"], "items": step}
