"""The door itself: paths, CORS, who may call, what every failure looks like, the expiry header, and its limits."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import structlog

from voxcube.server.core import errors
from voxcube.server.core.models import Session
from voxcube.server.rest.app import canonical, create_app
from voxcube.server.rest.errors import STATUS, error_response, status_of
from voxcube.server.rest.normalise import Limits
from voxcube.server.rest.route import Call, Caller, Nothing, Route

EXPIRY = "CB-Token-ExpirationDate"


class Echo(msgspec.Struct):
    number: int | None = None


class Away(Exception):
    """What a database that is away raises."""


class Sessions:
    """Two tokens: of an application and of a user; a third that breaks."""

    async def authenticate(self, token: str) -> Session | None:
        if token == "broken":
            raise RuntimeError("secret detail")
        if token == "away":
            raise Away
        if token not in ("app", "user"):
            return None
        user_id = 77 if token == "user" else None
        return Session(id=1, app_id=3, user_id=user_id, created_at=0, updated_at=0, expires_at=1769854500)

    async def administered(self, key: str) -> int | None:
        return 3 if key == "admin" else None


async def echo(call: Call[Echo]) -> dict[str, Any]:
    return {"tree": call.tree, "number": call.params.number}


def routes() -> list[Route]:
    found: list[Route] = []
    for name, failure in FAILURES.items():

        async def fail(call: Call[Nothing], failure: Exception = failure) -> Nothing:
            raise failure

        found.append(Route(method="GET", path=f"/fail/{name}", handler=fail, caller=Caller.NOBODY))
    return [
        *found,
        *(
            Route(method=method, path="/echo", handler=echo, caller=Caller.NOBODY, request=Echo)
            for method in ("GET", "POST", "DELETE")
        ),
        Route(method="GET", path="/app", handler=echo, caller=Caller.APP, request=Echo),
        Route(method="GET", path="/user", handler=echo, caller=Caller.USER, request=Echo),
        Route(method="GET", path="/chat/Dialog", handler=echo, caller=Caller.NOBODY, request=Echo),
        Route(method="PUT", path="/chat/Message/{ids}", handler=echo, caller=Caller.NOBODY, request=Echo, status=202),
    ]


FAILURES: dict[str, Exception] = {
    "unexpected": ValueError("secret detail"),
    "away": Away("secret detail"),
    "wait": errors.TooManyRequests(7),
    "fields": errors.Invalid({"email": ["has already been taken"]}),
}


async def healthy() -> dict[str, object]:
    return {"node": "a"}


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(routes(), sessions=Sessions(), health=healthy, limits=Limits(body=1000), unavailable=(Away,))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as opened:
        yield opened


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/session", ("/session", False)),
        ("/session.json", ("/session", True)),
        ("/session/", ("/session", False)),
        ("/session.json.json", ("/session.json", True)),
        ("/chat/dialog.json", ("/chat/Dialog", True)),
        ("/CHAT/DIALOG/64c0", ("/chat/Dialog/64c0", False)),
        ("/chat/message/unread.json", ("/chat/Message/unread", True)),
        ("/chat/Message/", ("/chat/Message", False)),
        ("/chat/Message/.json", ("/chat/Message", True)),
        ("/chat/messages", ("/chat/messages", False)),
        ("/blobs/abc.json", ("/blobs/abc", True)),
        ("/", ("/", False)),
        ("//", ("/", False)),
    ],
)
def test_paths_have_one_spelling(path: str, expected: tuple[str, bool]) -> None:
    assert canonical(path) == expected


async def test_routes_answer_every_spelling(client: httpx.AsyncClient) -> None:
    for path in ("/chat/Dialog", "/chat/dialog.json", "/chat/DIALOG/"):
        assert (await client.get(path)).status_code == 200
    for path in ("/chat/message/a,b", "/chat/Message/a%2Cb.json"):
        assert (await client.put(path)).status_code == 202


async def test_parameters_come_from_everywhere(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo?a[b]=1", json={"number": "5"})
    assert answer.json() == {"tree": {"a": {"b": "1"}, "number": "5"}, "number": 5}
    answer = await client.request("DELETE", "/echo", data={"number": "5"})
    assert answer.json()["number"] == 5
    answer = await client.request("GET", "/echo", content="number=5")
    assert answer.json()["number"] == 5
    answer = await client.post("/echo", headers={"Content-Type": "application/json"})
    assert answer.json() == {"tree": {}, "number": None}
    answer = await client.post("/echo", files={"number": (None, "5"), "file": ("a.bin", b"\0")})
    assert answer.json() == {"tree": {"number": "5"}, "number": 5}


async def test_who_may_call(client: httpx.AsyncClient) -> None:
    required = {"errors": {"base": ["Required session does not exist"]}}
    need_user = {"errors": {"base": ["Forbidden. Need user."]}}
    for token in ("", "unknown", " "):
        for path in ("/app", "/user"):
            answer = await client.get(path, headers={"CB-Token": token})
            assert (answer.status_code, answer.json()) == (401, required)
            assert EXPIRY not in answer.headers
    answer = await client.get("/user", headers={"CB-Token": "app"})
    assert (answer.status_code, answer.json()) == (403, need_user)
    for path, token in (("/app", "app"), ("/app", "user"), ("/user", "user")):
        assert (await client.get(path, headers={"CB-Token": token})).status_code == 200


async def test_a_stranger_is_refused_before_the_body_is_read(client: httpx.AsyncClient) -> None:
    assert (await client.request("GET", "/user", content=b"\xff")).status_code == 401


async def test_expiry_is_on_every_answer_to_a_live_session(client: httpx.AsyncClient) -> None:
    for path, status in (("/user", 200), ("/echo?a=%00", 400), ("/nowhere", 404), ("/fail/unexpected", 500)):
        answer = await client.get(path, headers={"CB-Token": "user"})
        assert (answer.status_code, answer.headers[EXPIRY]) == (status, "2026-01-31 10:15:00 UTC")


@pytest.mark.parametrize(
    ("method", "path", "status", "found"),
    [
        ("GET", "/nowhere", 404, {"base": ["The requested resource does not exist"]}),
        ("GET", "/", 404, {"base": ["The requested resource does not exist"]}),
        ("PATCH", "/echo", 404, {"base": ["The requested resource does not exist"]}),
        ("GET", "/fail/unexpected", 500, {"base": ["Internal server error"]}),
        ("GET", "/fail/away", 503, {"base": ["Service unavailable"]}),
        ("GET", "/fail/wait", 429, {"base": ["Too many requests"]}),
        ("GET", "/fail/fields", 422, {"email": ["has already been taken"]}),
        ("GET", "/echo?number=x", 422, {"number": ["must be an integer"]}),
        ("GET", "/echo?a=%FF", 400, {"base": ["Request is not valid UTF-8"]}),
    ],
)
async def test_failures_have_one_shape(
    client: httpx.AsyncClient, method: str, path: str, status: int, found: dict[str, Any]
) -> None:
    answer = await client.request(method, path)
    assert (answer.status_code, answer.json()) == (status, {"errors": found})
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert "secret" not in answer.text
    if status == 429:
        assert answer.headers["Retry-After"] == "7"


@pytest.mark.parametrize(("token", "status"), [("broken", 500), ("away", 503)])
async def test_failures_of_authentication(client: httpx.AsyncClient, token: str, status: int) -> None:
    answer = await client.get("/echo", headers={"CB-Token": token, "Origin": "http://web.test"})
    assert answer.status_code == status
    assert list(answer.json()) == ["errors"]
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


async def test_our_mistakes_are_logged_without_what_was_sent(client: httpx.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logged:
        await client.get("/fail/unexpected?text=hunter2", headers={"CB-Token": "user"})
    [line] = logged
    assert (line["event"], line["path"], line["log_level"]) == ("rest.failed", "/fail/unexpected", "error")
    assert "hunter2" not in str(line)
    assert "user" not in {str(value) for value in line.values()}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"{", "application/json"),
        (b'{"a": "\\u0000"}', "application/json"),
        (b'{"a": "\\ud800"}', "application/json"),
        (b"[]", "application/json"),
        (b"\xff", "application/x-www-form-urlencoded"),
        (b"a=" + b"x" * 1000, "application/x-www-form-urlencoded"),
    ],
)
async def test_broken_bodies_are_400(client: httpx.AsyncClient, body: bytes, content_type: str) -> None:
    answer = await client.post("/echo", content=body, headers={"Content-Type": content_type})
    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["base"]


async def test_a_body_without_end_is_not_read_to_its_end(client: httpx.AsyncClient) -> None:
    pieces = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal pieces
        while True:
            pieces += 1
            yield b"x" * 400

    assert (await client.post("/echo", content=endless())).status_code == 400
    assert pieces <= 4


async def test_preflight_on_every_path(client: httpx.AsyncClient) -> None:
    for path in ("/session", "/chat/Dialog/64c0.json", "/nowhere"):
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            answer = await client.options(
                path,
                headers={
                    "Origin": "http://web.test",
                    "Access-Control-Request-Method": method,
                    "Access-Control-Request-Headers": "cb-token, CB-SDK, content-type, cb-authkey, authorization, "
                    "cb-administration-api-key, connectycube-rest-api-version",
                },
            )
            assert answer.status_code == 200
            assert answer.headers["Access-Control-Allow-Origin"] == "*"
            assert method in answer.headers["Access-Control-Allow-Methods"]


async def test_cors_on_answers_and_failures(client: httpx.AsyncClient) -> None:
    for path in ("/echo", "/nowhere", "/fail/unexpected"):
        answer = await client.get(path, headers={"Origin": "http://web.test"})
        assert answer.headers["Access-Control-Allow-Origin"] == "*"
        assert EXPIRY in answer.headers["Access-Control-Expose-Headers"]


async def test_origins_may_be_named() -> None:
    app = create_app(routes(), sessions=Sessions(), origins=["https://web.test"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as client:
        good = await client.get("/echo", headers={"Origin": "https://web.test"})
        other = await client.get("/echo", headers={"Origin": "https://evil.test"})
    assert good.headers["Access-Control-Allow-Origin"] == "https://web.test"
    assert "Access-Control-Allow-Origin" not in other.headers


async def test_health(client: httpx.AsyncClient) -> None:
    answer = await client.get("/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok", "node": "a"})

    async def ill() -> dict[str, object]:
        raise errors.Unavailable

    app = create_app([], sessions=Sessions(), health=ill)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as other:
        assert (await other.get("/health")).status_code == 503


def all_errors(kind: type[errors.DomainError] = errors.DomainError) -> list[type[errors.DomainError]]:
    return [kind, *(found for below in kind.__subclasses__() for found in all_errors(below))]


@pytest.mark.parametrize("kind", [found for found in all_errors() if found.__module__ == errors.__name__])
def test_every_domain_error_has_a_status_that_flutter_can_read(kind: type[errors.DomainError]) -> None:
    assert kind in STATUS
    error = errors.TooManyRequests(1) if kind is errors.TooManyRequests else kind()
    assert status_of(error) in (400, 401, 403, 404, 422, 429, 500, 503)
    assert msgspec.json.decode(error_response(error).body) == {"errors": {"base": [kind.default]}}


def test_a_route_with_another_success_code_cannot_be_made() -> None:
    with pytest.raises(ValueError, match="200, 201, 202"):
        Route(method="DELETE", path="/x", handler=echo, caller=Caller.NOBODY, status=204)
