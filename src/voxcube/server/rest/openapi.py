"""The OpenAPI 3.1 description of the HTTP door, made from the route declarations and nothing else."""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Mapping
from typing import Any, Union, get_args, get_origin

import msgspec
from msgspec import inspect

from voxcube.server.core.listing import OPERATORS
from voxcube.server.rest.auth import ADMIN_KEY, EXPIRATION
from voxcube.server.rest.route import Caller, Nothing, Open, Route

Json = dict[str, Any]

REFERENCE = "#/components/schemas/"

#: Status → when, for every failure that a route may answer with (rest §1.6).
FAILURES = {
    400: "The request cannot be read: broken JSON, wrong encoding, too large",
    401: "The session is missing or has ended; at a login: wrong credentials",
    403: "The session may not do this",
    404: "There is no such object, or the caller may not see it",
    422: "A value is missing or not valid, or in conflict with what is there",
    429: "Too many requests: try again after `Retry-After` seconds",
    500: "A mistake of the server",
    503: "The server cannot do this now: try again later",
}
SECURITY: dict[Caller, list[dict[str, list[str]]]] = {
    Caller.NOBODY: [{}],
    Caller.KEY: [{"AuthKey": []}, {"Token": []}],
    Caller.APP: [{"Token": []}],
    Caller.USER: [{"Token": []}],
    Caller.ADMIN: [{"AdministrationKey": []}],
}
WHO = {
    Caller.NOBODY: "No session is needed.",
    Caller.KEY: "Needs the application's key, or any session.",
    Caller.APP: "Needs any session.",
    Caller.USER: "Needs a session of a user.",
    Caller.ADMIN: "Needs the application's administration key.",
}
ABOUT = """\
**Encodings.** Parameters come in the query string, in the body, or in both: of a name given twice the body's value
counts. A body is JSON, `application/x-www-form-urlencoded` or `multipart/form-data`, with any method. In queries and
forms brackets make structures: `user[login]=ann`, `ids[]=1&ids[]=2`, `ids[0]=1`. A list may also be one text,
`1, 2`. Numbers may be texts, flags `true`, `false`, `1` or `0`. Unknown parameters are ignored.

**Filters** of lists are `field=value` or `field[operator]=value`; several must hold together.

**Paths** may end in `.json` or `/`.

**Dates** go out as ISO 8601 in UTC, or as Unix seconds where the schema says integer; both may come in.

**Sessions** live two hours from their last use. Every answer to a request with a session says in
`CB-Token-ExpirationDate` when it will end."""


def describe(routes: Iterable[Route], *, version: str) -> Json:
    """The OpenAPI document for `routes`, ready to be encoded; `version` is that of the server."""
    routes = list(routes)
    kinds = {kind for route in routes for kind in (*answers(route.response), route.request) if kind is not Nothing}
    components = _components(kinds)
    paths: dict[str, Json] = {"/health": {"get": _health()}}
    for route in routes:
        paths.setdefault(_path(route.path), {})[route.method.lower()] = _operation(route, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Voxcube REST API",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": name} for name in dict.fromkeys(["server", *map(_tag, routes)])],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {_failure(status): _failed(status, text) for status, text in FAILURES.items()},
            "headers": {
                "Expiration": {
                    "description": "When the session will end, `yyyy-MM-dd HH:mm:ss UTC`",
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {
                "Token": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "CB-Token",
                    "description": "The token of a session (`POST /session`)",
                },
                "AuthKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "CB-AuthKey",
                    "description": "The application's key",
                },
                "AdministrationKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": ADMIN_KEY,
                    "description": "The application's administration key: for its own servers, never for a client",
                },
            },
        },
    }


def answers(response: Any) -> tuple[Any, ...]:
    """The kinds of body that a route may answer with: the members of a union, which msgspec has no schema for."""
    if get_origin(response) in (Union, types.UnionType):
        return get_args(response)
    return (response,)


def failures(route: Route) -> list[int]:
    """The statuses with which a route may fail."""
    needless = {
        Caller.NOBODY: (403, 404),
        Caller.KEY: (403, 404),
    }.get(route.caller, ())
    return [status for status in FAILURES if status not in needless]


def operation_id(route: Route) -> str:
    """A name for a route that no other has: `GET /chat/Dialog/{id}` → `get_chat_Dialog_id`."""
    return "_".join([route.method.lower(), *re.findall(r"\w+", _path(route.path))])


def _components(kinds: Iterable[Any]) -> dict[str, Json]:
    ordered = sorted(kinds, key=repr)  # so that the document does not change from start to start
    _, components = msgspec.json.schema_components(ordered, ref_template=REFERENCE + "{name}")
    opened = [kind.__name__ for kind in _structs(ordered) if issubclass(kind, Open)]
    for name, schema in components.items():
        if name in opened:
            schema["additionalProperties"] = True
        _tidy(schema)
    components["Nothing"] = {"type": "object", "description": "An empty object"}
    components["Errors"] = {
        "type": "object",
        "description": "What is wrong, by field; `base` stands for the request as a whole.",
        "required": ["errors"],
        "properties": {
            "errors": {"type": "object", "additionalProperties": {"type": "array", "items": {"type": "string"}}}
        },
    }
    return dict(sorted(components.items()))


def _structs(kinds: Iterable[Any]) -> set[type[msgspec.Struct]]:
    """All structs inside `kinds`, at any depth."""
    found: set[type[msgspec.Struct]] = set()
    waiting = [inspect.type_info(kind) for kind in kinds]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, inspect.StructType):
            if kind.cls not in found:
                found.add(kind.cls)
                waiting += [field.type for field in kind.fields]
        elif isinstance(kind, inspect.UnionType):
            waiting += kind.types
        elif isinstance(kind, inspect.ListType):
            waiting.append(kind.item_type)
        elif isinstance(kind, inspect.DictType):
            waiting.append(kind.value_type)
    return found


def _tidy(schema: Json) -> None:
    """msgspec's schema without what says nothing."""
    schema.pop("title", None)
    if not schema.get("required"):
        schema.pop("required", None)
    for field in schema.get("properties", {}).values():
        if "default" in field and field["default"] is None:
            del field["default"]
        if "anyOf" in field and [member.get("type") for member in field["anyOf"]][1:] == ["null"]:
            plain = field["anyOf"][0]
            if isinstance(plain.get("type"), str):
                del field["anyOf"]
                field.update(plain, type=[plain["type"], "null"])


def _path(path: str) -> str:
    return re.sub(r":\w+}", "}", path)


def _tag(route: Route) -> str:
    """The feature that a route belongs to."""
    found = re.search(r"\.features\.(\w+)\.", route.handler.__module__)
    return found[1] if found else "server"


def _operation(route: Route, components: Mapping[str, Json]) -> Json:
    parameters = [_path_parameter(name, kind) for name, kind in re.findall(r"{(\w+)(?::(\w+))?}", route.path)]
    operation: Json = {
        "operationId": operation_id(route),
        "tags": [_tag(route)],
        "summary": route.summary or operation_id(route).replace("_", " "),
        "description": WHO[route.caller],
        "security": SECURITY[route.caller],
    }
    if route.request is not Nothing:
        if route.method in ("GET", "DELETE"):
            parameters += _query_parameters(components[route.request.__name__])
        else:
            schema = {"$ref": REFERENCE + route.request.__name__}
            kinds = ("application/json", "application/x-www-form-urlencoded", "multipart/form-data")
            operation["requestBody"] = {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}
    named = {parameter["name"] for parameter in parameters}
    parameters += [_filter(name) for name in route.filters if name not in named]
    if parameters:
        operation["parameters"] = parameters
    operation["responses"] = {
        str(route.status): {
            "description": "Done" if route.response is Nothing else route.summary or "Done",
            "headers": {EXPIRATION: {"$ref": "#/components/headers/Expiration"}},
            "content": {"application/json": {"schema": _answer(route.response)}},
        },
        **{str(status): {"$ref": "#/components/responses/" + _failure(status)} for status in failures(route)},
    }
    return operation


def _answer(response: Any) -> Json:
    schemas = [
        {"$ref": REFERENCE + kind.__name__}
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct)
        else msgspec.json.schema(kind, ref_template=REFERENCE + "{name}")
        for kind in answers(response)
    ]
    return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def _path_parameter(name: str, kind: str) -> Json:
    schema: Json = {"type": "integer", "minimum": 1} if kind == "int" else {"type": "string", "minLength": 1}
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: Json) -> list[Json]:
    required = schema.get("required", ())
    parameters = []
    for name, field in schema.get("properties", {}).items():
        kind = dict(field)
        if isinstance(kind.get("type"), list):
            kind["type"] = kind["type"][0]  # a query has no null
        elif "anyOf" in kind:
            kind = next(member for member in kind["anyOf"] if member.get("type") != "null")
        parameter: Json = {"name": name, "in": "query", "required": name in required, "schema": kind}
        if kind.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        parameters.append(parameter)
    return parameters


def _filter(name: str) -> Json:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": f"Filter; also `{name}[operator]`, where operator is one of {', '.join(OPERATORS)}, as the "
        "field allows",
        "schema": {"type": "string"},
    }


def _failure(status: int) -> str:
    return f"Failure{status}"


def _failed(status: int, text: str) -> Json:
    failed: Json = {
        "description": text,
        "content": {"application/json": {"schema": {"$ref": REFERENCE + "Errors"}}},
    }
    if status == 429:
        failed["headers"] = {"Retry-After": {"description": "Seconds", "schema": {"type": "integer"}}}
    return failed


def _health() -> Json:
    return {
        "operationId": "get_health",
        "tags": ["server"],
        "summary": "Whether the server can do its work",
        "description": WHO[Caller.NOBODY],
        "security": [{}],
        "responses": {
            "200": {
                "description": "It can",
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "required": ["status"],
                            "properties": {"status": {"const": "ok"}},
                            "additionalProperties": True,
                        }
                    }
                },
            },
            **{str(status): {"$ref": "#/components/responses/" + _failure(status)} for status in (500, 503)},
        },
    }
