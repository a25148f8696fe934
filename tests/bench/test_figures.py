"""Percentiles, and figures as lines and JSON."""

import json

import pytest

from voxcube.bench.figures import Figures, Latencies, percentile


@pytest.mark.parametrize(
    ("percent", "value"), [(0, 1.0), (1, 1.0), (50, 50.0), (95, 95.0), (99, 99.0), (99.5, 100.0), (100, 100.0)]
)
def test_percentiles_are_nearest_ranks(percent: float, value: float) -> None:
    assert percentile([float(number) for number in range(1, 101)], percent) == value


@pytest.mark.parametrize(("ordered", "value"), [([], 0.0), ([7.0], 7.0), ([1.0, 9.0], 9.0)])
def test_percentile_of_few_values(ordered: list[float], value: float) -> None:
    assert percentile(ordered, 99) == value


def test_latencies_are_summed_up_in_milliseconds() -> None:
    latencies = Latencies()
    for seconds in (0.003, 0.001, 0.002):
        latencies.add(seconds)
    assert len(latencies) == 3
    assert latencies.summary() == pytest.approx({"p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0})


def test_no_latencies_at_all() -> None:
    assert set(Latencies().summary().values()) == {0.0}


def test_figures_are_printed_in_order() -> None:
    figures = Figures()
    figures.put("mode", "chat")
    figures.put("sent", 1234.0, "messages")
    figures.put("cpu_us", 12.3456, "µs", 1)
    assert [line.split() for line in figures.text().splitlines()] == [
        ["mode", "chat"],
        ["sent", "1234", "messages"],
        ["cpu_us", "12.3", "µs"],
    ]
    assert json.loads(figures.json()) == {"mode": "chat", "sent": 1234, "cpu_us": 12.3}
    assert figures.number("cpu_us") == 12.3456
