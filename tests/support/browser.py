"""A headless browser of the system, driven over its own debugging protocol: Firefox by WebDriver BiDi, Chromium by CDP.

No driver program is needed, and nothing is downloaded.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import httpx
import picows

from tests.support.components import missing
from tests.support.ports import free_port

START_SECONDS = 60.0
ANSWER_SECONDS = 60.0
PROGRAMS = {"firefox": ("firefox-esr", "firefox"), "chromium": ("chromium", "chromium-browser")}


class BrowserError(Exception):
    """What a page, or the browser, answered instead of a value."""


class _Messages(picows.WSListener):
    """JSON messages of a debugging connection."""

    def __init__(self) -> None:
        super().__init__()
        self.transport: Any = None
        self.waiting: dict[int, asyncio.Future[Any]] = {}
        self._parts: list[bytes] = []

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self.transport = transport

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type in (picows.WSMsgType.TEXT, picows.WSMsgType.CONTINUATION):
            self._parts.append(frame.get_payload_as_bytes())
            if frame.fin:
                message = json.loads(b"".join(self._parts))
                self._parts.clear()
                future = self.waiting.pop(message.get("id") or 0, None)
                if future is not None and not future.done():
                    future.set_result(message)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(BrowserError("the browser has closed the connection"))


class Browser:
    """One browser with one page. Certificates are not verified: test servers sign their own."""

    def __init__(self, kind: str) -> None:
        """`kind`: "firefox" or "chromium"."""
        self.kind = kind
        self._process: asyncio.subprocess.Process | None = None
        self._profile = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        self._numbers = itertools.count(1)
        self._messages = _Messages()
        self._page = ""

    async def __aenter__(self) -> Self:
        program = next(filter(None, map(shutil.which, PROGRAMS[self.kind])), None)
        if program is None:
            missing(f"{self.kind} is not installed")
        port = free_port()
        try:
            await self._start(program, port)
            async with asyncio.timeout(START_SECONDS):
                await (self._attach_firefox(port) if self.kind == "firefox" else self._attach_chromium(port))
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._messages.transport is not None:
            self._messages.transport.disconnect(False)
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        self._profile.cleanup()

    async def _start(self, program: str, port: int) -> None:
        if self.kind == "firefox":
            preferences = {
                "app.update.auto": False,
                "datareporting.policy.dataSubmissionEnabled": False,
                "network.captive-portal-service.enabled": False,
                "network.connectivity-service.enabled": False,
                "browser.shell.checkDefaultBrowser": False,
                "browser.startup.page": 0,
            }
            lines = (f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in preferences.items())
            Path(self._profile.name, "user.js").write_text("\n".join(lines))
            arguments = ["--headless", "--no-remote", "--profile", self._profile.name]
            arguments += ["--remote-debugging-port", str(port), "about:blank"]
        else:
            arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
            arguments += ["--disable-background-networking", "--disable-component-update", "--disable-extensions"]
            arguments += ["--ignore-certificate-errors", f"--user-data-dir={self._profile.name}"]
            arguments += [f"--remote-debugging-port={port}", "about:blank"]
        self._process = await asyncio.create_subprocess_exec(
            program,
            *arguments,
            env={**os.environ, "HOME": self._profile.name},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def _attach_firefox(self, port: int) -> None:
        await self._dial(f"ws://127.0.0.1:{port}/session")
        await self.command("session.new", capabilities={"alwaysMatch": {"acceptInsecureCerts": True}})
        self._page = (await self.command("browsingContext.getTree"))["contexts"][0]["context"]

    async def _attach_chromium(self, port: int) -> None:
        async with httpx.AsyncClient(trust_env=False) as http:
            while True:
                try:
                    pages = (await http.get(f"http://127.0.0.1:{port}/json/list")).json()
                except (httpx.HTTPError, ValueError):
                    pages = []
                url = next((page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page"), None)
                if url:
                    break
                await asyncio.sleep(0.2)
        await self._dial(url)

    async def _dial(self, url: str) -> None:
        """Connect to the debugging port as soon as it is open."""
        while True:
            try:
                await picows.ws_connect(
                    lambda: self._messages, url, max_frame_size=2**26, use_aiofastnet=False, proxy=None
                )
            except (OSError, picows.WSError):
                assert self._process is not None
                if self._process.returncode is not None:
                    raise BrowserError(f"{self.kind} ended with status {self._process.returncode}") from None
                await asyncio.sleep(0.2)
            else:
                return

    async def command(self, method: str, **params: Any) -> Any:
        """One command of the debugging protocol; raises BrowserError."""
        number = next(self._numbers)
        future = self._messages.waiting[number] = asyncio.get_running_loop().create_future()
        message = json.dumps({"id": number, "method": method, "params": params}).encode()
        self._messages.transport.send(picows.WSMsgType.TEXT, message)
        async with asyncio.timeout(ANSWER_SECONDS):
            answer = await future
        if answer.get("type") == "error" or "error" in answer:
            raise BrowserError(f"{method}: {json.dumps(answer)[:2000]}")
        return answer["result"]

    async def open(self, url: str) -> None:
        """Load a page, and wait until its scripts are there."""
        if self.kind == "firefox":
            await self.command("browsingContext.navigate", context=self._page, url=url, wait="complete")
        else:
            await self.command("Page.navigate", url=url)
            async with asyncio.timeout(ANSWER_SECONDS):
                while await self.value("document.readyState + ' ' + location.href") != f"complete {url}":
                    await asyncio.sleep(0.1)

    async def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page, awaited when it is a promise; it must fit into JSON."""
        wrapped = f"Promise.resolve({expression}).then(value => JSON.stringify(value === undefined ? null : value))"
        if self.kind == "firefox":
            answer = await self.command(
                "script.evaluate", expression=wrapped, target={"context": self._page}, awaitPromise=True
            )
            if answer["type"] == "exception":
                raise BrowserError(json.dumps(answer["exceptionDetails"])[:2000])
            return json.loads(answer["result"]["value"])
        answer = await self.command("Runtime.evaluate", expression=wrapped, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise BrowserError(json.dumps(answer["exceptionDetails"])[:2000])
        return json.loads(answer["result"]["value"])
