"""The bystanders measure what they claim to."""

from pathlib import Path

from tests.abuse.support import bystanders, cpu_seconds, memory_mib
from tests.support.server_process import ServerProcess


async def test_bystanders_chat_and_are_measured(tmp_path: Path) -> None:
    with ServerProcess(tmp_path / "data", unlimited=True) as server:
        app_id = server.create_app()["app_id"]
        async with bystanders(server, app_id) as latency:
            pass
        assert latency.figures()["round_trips"] >= 1
        assert latency.at(1.0) >= latency.at(0.5) > 0
        assert memory_mib(server) > 10
        assert cpu_seconds(server) > 0
