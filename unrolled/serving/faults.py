"""Errors as replies: one shape for all (that of OpenAI's API), a status each, and never a traceback."""

from __future__ import annotations

import json
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from unrolled.datasets.values import shown
from unrolled.errors import MissingExtra, NumericalFailure, UserError
from unrolled.serving.engine import Busy, Draining


class Detail(BaseModel):
    """What is wrong: `message` for people, `param` the field where there is one."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class Fault(BaseModel):
    """The body of every reply that isn't a success."""

    error: Detail


class Reply(JSONResponse):
    """JSON in UTF-8; in ASCII where that can't say it: escapes can spell half a character (a lone surrogate), which a label
    or a text may hold.
    """

    def render(self, content: Any) -> bytes:
        """The body."""
        try:
            return super().render(content)
        except UnicodeEncodeError:
            return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


class Refused(Exception):
    """A reply other than success. `param`: the field, as `rows.3.text`."""

    def __init__(self, status: int, message: str, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.param, self.code = status, message, param, code


def invalid(param: str, message: str) -> Refused:
    """The refusal of a value that doesn't fit: 422 that names the field."""
    return Refused(422, message, param, "invalid_value")


def body_of(status: int, message: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The plain form of a fault."""
    kind = {404: "not_found_error", 429: "rate_limit_error", 503: "unavailable_error"}.get(
        status, "server_error" if status >= 500 else "invalid_request_error"
    )
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def refusal_of(error: Exception) -> Refused:
    """Any error as a refusal; what is a fault of our own is told on stderr, and only named in the reply."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, HTTPException):
        return Refused(error.status_code, str(error.detail), code="too_much")
    if isinstance(error, Busy):
        return Refused(429, str(error), code="busy")
    if isinstance(error, Draining):
        return Refused(503, str(error), code="draining")
    if isinstance(error, UserError):
        return Refused(422, str(error), code="invalid_value")
    if isinstance(error, MissingExtra):
        return Refused(501, str(error), code="missing_extra")
    if isinstance(error, NumericalFailure):
        return Refused(422, str(error), code="not_finite")
    traceback.print_exception(error, file=sys.stderr)
    return Refused(500, "a fault of the server: its log says more", code="internal")


def reply(error: Exception) -> Reply:
    """The reply to an error."""
    found = refusal_of(error)
    headers = {"Retry-After": str(error.seconds)} if isinstance(error, Busy) else None
    return Reply(body_of(found.status, found.message, found.param, found.code), found.status, headers=headers)


def install(app: FastAPI) -> None:
    """Every error that a route raises becomes a reply of this shape."""

    async def ours(request: Request, error: Exception) -> Reply:
        return reply(error)

    async def unfit(request: Request, error: Exception) -> Reply:
        assert isinstance(error, RequestValidationError)
        first = _deepest(error.errors())
        place = _place(first["loc"])
        if first["type"] == "json_invalid":
            return Reply(body_of(400, "the body is no JSON", None, "invalid_json"), 400)
        said = str(first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            said = f"unknown field {shown(first['loc'][-1])}"
        return Reply(body_of(422, said, ".".join(place) or "body", "invalid_value"), 422)

    async def plain(request: Request, error: Exception) -> Reply:
        assert isinstance(error, HTTPException)
        said = body_of(error.status_code, str(error.detail))
        return Reply(said, error.status_code, headers=dict(error.headers or {}))

    for kind in (Refused, Busy, Draining, UserError, MissingExtra, NumericalFailure, Exception):
        app.add_exception_handler(kind, ours)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_exception_handler(HTTPException, plain)


def _deepest(errors: Sequence[Any]) -> Any:
    """Of a value that fits none of several forms, what is wrong in the form that it comes nearest to."""
    same = [error for error in errors if error["loc"][:2] == errors[0]["loc"][:2]]
    return max(same, key=lambda error: len(error["loc"]))


def _place(loc: Sequence[Any]) -> list[str]:
    """A field's path without the names that pydantic gives to the forms of a union."""
    inner = [part for part in loc if part != "body"]
    return [
        str(part)[:80]
        for at, part in enumerate(inner)
        if at == 0 or isinstance(part, int) or part == "include_usage"
    ]
