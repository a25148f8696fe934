"""What a run measured: latencies, and named figures that are printed for people or as JSON."""

from __future__ import annotations

import json
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PERCENTILES = (50, 95, 99)


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of values in ascending order: the smallest that `percent` % of them do not exceed.

    0.0 when there are none.
    """
    if not ordered:
        return 0.0
    rank = -(-percent * len(ordered) // 100)  # rounded up
    return ordered[max(0, min(len(ordered), int(rank)) - 1)]


class Latencies:
    """Durations in seconds; `add` is what the hot path calls."""

    def __init__(self) -> None:
        self._values = array("d")
        self.add = self._values.append

    def __len__(self) -> int:
        return len(self._values)

    def summary(self) -> dict[str, float]:
        """p50, p95, p99 and max in milliseconds."""
        ordered = sorted(self._values)
        found = {f"p{percent}": percentile(ordered, percent) * 1000 for percent in PERCENTILES}
        return {**found, "max": ordered[-1] * 1000 if ordered else 0.0}


@dataclass(frozen=True, slots=True)
class Figure:
    """One value with its unit and how many digits of it mean something."""

    value: float | str
    unit: str = ""
    digits: int = 0

    def __str__(self) -> str:
        number = self.value if isinstance(self.value, str) else f"{self.value:.{self.digits}f}"
        return f"{number} {self.unit}".rstrip()

    @property
    def plain(self) -> float | int | str:
        """The value as JSON has it."""
        if isinstance(self.value, str):
            return self.value
        return round(self.value, self.digits) if self.digits else round(self.value)


class Figures(dict[str, Figure]):
    """Figures by name, in the order in which they are printed."""

    def put(self, name: str, value: float | str, unit: str = "", digits: int = 0) -> None:
        """Adds one figure."""
        self[name] = Figure(value, unit, digits)

    def put_latencies(self, name: str, latencies: Latencies) -> None:
        """Adds the percentiles of `latencies` as `name_p50_ms` and so on."""
        for key, value in latencies.summary().items():
            self.put(f"{name}_{key}_ms", value, "ms", 3)

    def number(self, name: str) -> float:
        """A figure that is known to be a number."""
        value = self[name].value
        assert not isinstance(value, str), name
        return value

    def text(self) -> str:
        """One line a figure."""
        return "\n".join(f"{name:<30} {figure}" for name, figure in self.items())

    def json(self) -> str:
        """One JSON object."""
        return json.dumps(plain(self))


def plain(figures: Mapping[str, Figure]) -> dict[str, float | int | str]:
    """Figures as JSON values."""
    return {name: figure.plain for name, figure in figures.items()}
