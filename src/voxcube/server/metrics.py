"""`/metrics` for Prometheus: reads what the node has counted when it is asked, and costs nothing in between."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from voxcube.server.c2s.hub import Hub
from voxcube.server.core.counts import Histogram
from voxcube.server.core.errors import NotFound
from voxcube.server.core.peers import is_loopback
from voxcube.server.rest.errors import error_response
from voxcube.server.storage.writer import Writer

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: A proxy says by one of these that it asks for somebody else.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class NodeMetrics(Collector):
    """The counts of a node as Prometheus wants them."""

    def __init__(self, hub: Hub, writer: Writer, doors: Mapping[str, object]) -> None:
        self._hub = hub
        self._writer = writer
        self._doors = doors

    def collect(self) -> Iterator[Metric]:
        hub, counts, writer = self._hub, self._hub.counts, self._writer
        connections = GaugeMetricFamily("voxcube_connections", "Open XMPP connections.", labels=["door"])
        by_door = Counter(session.door for session in hub.connected)
        for door in self._doors:
            if not door.startswith("http"):
                connections.add_metric([door], by_door[door])
        yield connections
        yield GaugeMetricFamily("voxcube_users_online", "Users with an available session.", len(hub.sessions.by_user))
        for name, text, value in (
            ("messages_stored", "Messages committed.", counts.stored),
            ("messages_repeated", "Messages sent again that were stored already.", counts.repeated),
            ("messages_relayed", "Messages passed on without being stored.", counts.relayed),
            ("stanzas_delivered", "Stanzas written to connected clients.", counts.delivered),
        ):
            yield CounterMetricFamily(f"voxcube_{name}", text, value)
        refused = CounterMetricFamily("voxcube_stanza_errors", "Stanzas answered with an error.", labels=["condition"])
        for condition, count in counts.refused.items():
            refused.add_metric([condition], count)
        yield refused
        ended = CounterMetricFamily("voxcube_stream_errors", "Connections ended by an error.", labels=["condition"])
        for condition, count in counts.ended.items():
            ended.add_metric([condition], count)
        yield ended
        yield GaugeMetricFamily("voxcube_queue_depth", "Changes waiting or being committed.", writer.depth)
        yield _histogram("voxcube_commit_seconds", "How long transactions took.", writer.commit_seconds)
        yield _histogram("voxcube_commit_changes", "Changes in one transaction.", writer.commit_changes)
        requests = CounterMetricFamily(
            "voxcube_http_requests", "Requests answered.", labels=["method", "route", "status"]
        )
        for (method, route, status), count in counts.requests.items():
            requests.add_metric([method, route, str(status)], count)
        yield requests


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    buckets, below = [], 0
    for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
        below += count
        buckets.append(("+Inf" if bound == float("inf") else str(float(bound)), below))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)


def routes(collector: Collector, who: str) -> list[Route]:
    """The route of `/metrics`; `who` may read it: `loopback`, `all` or, with no route, `off`."""
    if who == "off":
        return []
    registry = CollectorRegistry()
    registry.register(collector)
    ProcessCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        if who != "all" and not is_local(request):
            return error_response(NotFound("The requested resource does not exist"))
        return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE})

    return [Route("/metrics", metrics, methods=["GET"])]


def is_local(request: Request) -> bool:
    """Whether a program on this machine asks, and not a proxy on this machine for somebody elsewhere."""
    client = request.client
    return client is not None and is_loopback(client.host) and not any(name in request.headers for name in FORWARDED)
