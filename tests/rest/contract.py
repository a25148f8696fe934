"""Holds every REST answer that a test meets against the OpenAPI document made from the same routes."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable

import httpx
from jsonschema import Draft202012Validator

from voxcube.server.rest.app import canonical
from voxcube.server.rest.openapi import REFERENCE, Json, describe
from voxcube.server.rest.route import Route

#: The answer to whatever is not routed.
_ERRORS = {"$ref": REFERENCE + "Errors"}


class Undocumented(AssertionError):
    """An answer that the document does not allow."""


class Contract:
    """The answers that the routes declare. Objects are closed: a key that is not declared is a mistake too."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._document = describe(routes, version="test")
        components = copy.deepcopy(self._document["components"])
        for schema in components["schemas"].values():
            if "properties" in schema:
                schema.setdefault("additionalProperties", False)
        self._components = components
        self._operations: list[tuple[str, re.Pattern[str], str, Json]] = []
        for path, operations in self._document["paths"].items():
            for method, operation in operations.items():
                self._operations.append((method.upper(), _pattern(path, operation), path, operation))
        # Fixed paths before those with a parameter, as `/users/online` before `/users/{id}`.
        self._operations.sort(key=lambda found: found[2].count("{"))

    def check(self, method: str, path: str, status: int, headers: httpx.Headers, body: bytes) -> None:
        """Raises Undocumented when the answer to a request is not one of the declared ones."""
        if method not in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            return
        what = f"{method} {path} → {status}"
        operation = self._operation(method, path)
        if operation is None:
            if status == 404:
                self._fits(what, body, headers, _ERRORS)
            return
        answer = operation["responses"].get(str(status))
        if answer is None:
            raise Undocumented(f"{what} is not documented: {body[:500]!r}")
        if "$ref" in answer:
            answer = self._components["responses"][answer["$ref"].rpartition("/")[2]]
        self._fits(what, body, headers, answer["content"]["application/json"]["schema"])

    def _operation(self, method: str, path: str) -> Json | None:
        path = canonical(path)[0]
        for wanted, pattern, _, operation in self._operations:
            if wanted == method and pattern.fullmatch(path):
                return operation
        return None

    def _fits(self, what: str, body: bytes, headers: httpx.Headers, schema: Json) -> None:
        if headers.get("content-type") != "application/json; charset=utf-8":
            raise Undocumented(f"{what} is not JSON but {headers.get('content-type')}")
        validator = Draft202012Validator({**schema, "components": self._components})
        problems = [error.message for error in validator.iter_errors(httpx.Response(200, content=body).json())]
        if problems:
            raise Undocumented(f"{what} has not the documented shape: {'; '.join(problems)[:1000]}")


class CheckedTransport(httpx.AsyncBaseTransport):
    """An HTTPX transport that holds what goes through it against a contract."""

    def __init__(self, inner: httpx.AsyncBaseTransport, contract: Contract) -> None:
        self._inner = inner
        self._contract = contract

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        body = await answer.aread()
        self._contract.check(request.method, request.url.path, answer.status_code, answer.headers, body)
        return answer

    async def aclose(self) -> None:
        await self._inner.aclose()


def _pattern(path: str, operation: Json) -> re.Pattern[str]:
    kinds = {
        parameter["name"]: r"\d+" if parameter["schema"]["type"] == "integer" else "[^/]+"
        for parameter in operation.get("parameters", ())
        if parameter["in"] == "path"
    }
    return re.compile(
        re.sub(r"{(\w+)}", lambda name: kinds[name[1]], re.escape(path).replace(r"\{", "{").replace(r"\}", "}"))
    )
