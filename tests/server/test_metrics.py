"""`/metrics`: what is counted, who may read it, and that strangers cannot make it grow."""

import re
from pathlib import Path

import httpx
import pytest
from starlette.applications import Starlette

from tests.features.world import opened
from tests.support.node import running
from voxcube.server.core.counts import MOST_KINDS, Counts, Histogram, Kinds
from voxcube.server.metrics import FORWARDED, _histogram, routes
from voxcube.server.rest.app import create_app


class Nothing:
    def collect(self) -> list[object]:
        return []


def client(who: str, peer: str) -> httpx.AsyncClient:
    app = Starlette(routes=routes(Nothing(), who))  # type: ignore[arg-type]
    return httpx.AsyncClient(transport=httpx.ASGITransport(app, client=(peer, 1)), base_url="http://api.test")


@pytest.mark.parametrize(
    ("who", "peer", "status"),
    [
        ("loopback", "127.0.0.1", 200),
        ("loopback", "::1", 200),
        ("loopback", "10.0.0.1", 404),
        ("all", "10.0.0.1", 200),
        ("off", "127.0.0.1", 404),
    ],
)
async def test_who_may_read(who: str, peer: str, status: int) -> None:
    async with client(who, peer) as http:
        assert (await http.get("/metrics")).status_code == status


@pytest.mark.parametrize("header", FORWARDED)
async def test_a_proxy_on_this_machine_asks_for_somebody_else(header: str) -> None:
    async with client("loopback", "127.0.0.1") as http:
        assert (await http.get("/metrics", headers={header: "127.0.0.1"})).status_code == 404


def test_histograms_are_cumulative() -> None:
    histogram = Histogram((1, 2, 4))
    for value in (0.5, 1, 3, 100):
        histogram.add(value)
    samples = {sample.labels.get("le", sample.name): sample.value for sample in _histogram("a", "b", histogram).samples}
    assert samples == {"1.0": 2, "2.0": 2, "4.0": 3, "+Inf": 4, "a_count": 4, "a_sum": 104.5}


def test_kinds_are_bounded() -> None:
    kinds = Kinds()
    for number in range(1000):
        kinds.add(str(number))
    kinds.add("1")
    assert len(kinds) == MOST_KINDS + 1
    assert kinds["1"] == 2
    assert kinds["other"] == 1000 - MOST_KINDS


async def test_requests_count_by_route(tmp_path: Path) -> None:
    counts = Counts()
    async with opened(f"sqlite:///{tmp_path}/a.db") as world:
        app = create_app(world.routes, sessions=world.sessions, requests=counts.requests)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api.test") as http:
            await http.get("/users/5")
            await http.get("/users/6.json", headers={"CB-Token": "gone"})
            await http.get("/made/up")
            await http.request("BREW", "/users/5")
            await http.get("/health")
    assert counts.requests == {
        ("GET", "/users/{id:int}", 401): 2,
        ("GET", "other", 404): 1,
        ("other", "other", 404): 1,
        ("GET", "/health", 200): 1,
    }


async def test_every_metric_is_in_the_reference(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/reference/http.md").read_text()
    documented = set(re.findall(r"^\| `(voxcube_\w+)", page, re.MULTILINE))
    async with running(tmp_path / "a") as node, node.rest() as http:
        text = (await http.get("/metrics")).text
    assert set(re.findall(r"^# TYPE (voxcube_\w+)", text, re.MULTILINE)) == documented
