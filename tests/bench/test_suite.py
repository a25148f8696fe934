"""The table, and the parts of the suite: what it seeds is there, and the servers it starts end again."""

import json
import os
from pathlib import Path

import pytest
import uvloop

from voxcube.bench.figures import Figures
from voxcube.bench.options import OptionError
from voxcube.bench.requests import Requests
from voxcube.bench.seed import seed
from voxcube.bench.suite import Row, Suite, Table, fdatasync
from voxcube.bench.throwaway import Process, Server, StartError


def test_the_table() -> None:
    table = Table(machine={"cores": "2"}, skipped=["PostgreSQL: it is not installed"])
    table.rows.append(Row(name="1-1, stored", value=45.0, unit="µs", budget=90))
    run = table.runs["chat"] = Figures()
    run.put("lost", 3, "deliveries")
    run.put("errors", 0)
    run.put("others_cores", 0.5, "cores", 2)
    text = table.text()
    assert "cores 2" in text
    assert text.splitlines()[3].split() == ["1-1,", "stored", "45", "µs", "90", "µs", "0.50"]
    assert "skipped: PostgreSQL" in text
    assert "trouble in chat: lost 3 deliveries" in text
    assert "chat 0.50 cores" in text
    found = json.loads(table.json())
    assert found["rows"] == [{"name": "1-1, stored", "value": 45.0, "unit": "µs", "budget": 90, "ratio": 0.5}]
    assert found["runs"] == {"chat": {"lost": 3, "errors": 0, "others_cores": 0.5}}


def test_the_disk(tmp_path: Path) -> None:
    found = fdatasync(tmp_path, writes=3)
    assert 0 < found["p50"] <= found["p99"] <= found["max"]
    assert not list(tmp_path.iterdir())


def test_an_unknown_part() -> None:
    with pytest.raises(OptionError, match="'chess' is none of chat"):
        Suite(only=("chess",))


def test_what_is_seeded_is_served(tmp_path: Path) -> None:
    there = uvloop.run(seed(tmp_path, "", users=10, members=3, histories=(10, 120), lists=(3, 30)))
    assert list(there.histories) == [10, 120]
    assert list(there.lists) == [3, 30]
    with Server(tmp_path) as server:
        pages = Requests(server, there, (server.pid,), lambda answer: len(answer["items"]))
        unread = Requests(server, there, (server.pid,), lambda answer: answer["total"])
        for count, (dialog_id, user_id) in there.histories.items():  # wrong answers raise
            page = f"/chat/Message?limit=100&sort_desc=date_sent&mark_as_read=0&chat_dialog_id={dialog_id}"
            pages.add(count, user_id, page, found=min(count, 100))
            unread.add(count, user_id, "/chat/Message/unread", found=count // 2)
            pages.ask(count, 2)
            unread.ask(count, 3)
        assert [len(unread.times[count]) for count in there.histories] == [3, 3]
        assert pages.cpu_ms(10) >= 0
        for count, user_id in there.lists.items():
            pages.add(count, user_id, "/chat/Dialog", found=count)
        with pytest.raises(RuntimeError, match="answered 3 instead of 4"):
            pages.add(5, there.lists[3], "/chat/Dialog", found=4)
        pages.close()
        unread.close()
        pid = server.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_server_that_does_not_start(tmp_path: Path) -> None:
    (tmp_path / "voxcube.db").write_bytes(b"this is no database " * 100)
    with pytest.raises(StartError, match="did not start"):
        Server(tmp_path)


def test_a_process_that_does_not_want_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("voxcube.bench.throwaway.STOP_SECONDS", 0.2)
    stubborn = Process(["sh", "-c", "trap '' TERM; echo here; while :; do sleep 0.05; done"], tmp_path / "log")
    with stubborn:
        while "here" not in stubborn.output():
            stubborn.check(float("inf"))
    with pytest.raises(ProcessLookupError):
        os.kill(stubborn.pid, 0)
