"""The page of `/`: it leads to what this server has, and loads nothing."""

import re
from pathlib import Path

from tests.support.node import running
from voxcube.server.rest.home import Link, render


async def test_it_leads_to_pages_that_exist_and_loads_nothing(tmp_path: Path) -> None:
    async with running(tmp_path / "a") as node, node.rest() as http:
        answer = await http.get("/")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert (await http.head("/")).status_code == 200
        links = re.findall(r'href="([^"]*)"', answer.text)
        assert "/docs" in links
        for path in links:
            assert (await http.get(path)).status_code == 200, path
    assert not re.search(r"<script|<img|<link|@import|url\(|https?://|src=", answer.text)


def test_texts_are_escaped() -> None:
    page = render("<1>", [Link('/"', "<b>", "&")])
    assert "<b>" not in page
    assert 'href="/&quot;"' in page
    assert "Version &lt;1&gt;" in page
