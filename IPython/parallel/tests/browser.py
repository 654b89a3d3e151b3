"""A headless Chromium for tests of pages, driven over its DevTools protocol."""

# Copyright (c) IPython Development Team.
# Distributed under the terms of the Modified BSD License.
from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
# Without its sandbox, which needs rights that containers often lack; it shows nothing but our own files.
OPTIONS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
)
OPTIONS += (
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
    "--disable-background-networking",
)
# Seconds for one answer of the browser.
PATIENCE = 20.0


def find_browser() -> str:
    """The path of a Chromium; skips the test where there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a Chromium to look at pages with: install the package `chromium`")
    return found


class Page:
    """One page in the browser. All methods on the event loop's thread."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._number = 0
        self.complaints: list[str] = []
        self._events: list[str] = []

    async def send(self, method: str, **params: Any) -> dict[str, Any]:
        """Give a command of the protocol, and wait for its answer."""
        self._number += 1
        await self._connection.write_message(
            json.dumps({"id": self._number, "method": method, "params": params})
        )
        while True:
            message = await self._hear()
            if message.get("id") == self._number:
                assert "error" not in message, message["error"]
                return dict(message["result"])

    async def _hear(self) -> dict[str, Any]:
        async with asyncio.timeout(PATIENCE):
            text = await self._connection.read_message()
        assert text is not None, "the browser has gone"
        message: dict[str, Any] = json.loads(text)
        self._note(message.get("method", ""), message.get("params", {}))
        return message

    def _note(self, event: str, params: dict[str, Any]) -> None:
        self._events.append(event)
        if event == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif event == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.complaints.append(params["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.complaints.append(str(params["args"]))
        elif event == "Network.requestWillBeSent" and not params["request"]["url"].startswith(
            ("file:", "data:")
        ):
            self.complaints.append(f"asked for {params['request']['url']}")

    async def open(self, path: Path, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Show a file in a window of that size."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.send(f"{domain}.enable")
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.send("Emulation.setEmulatedMedia", features=[scheme])
        self._events.clear()
        await self.send("Page.navigate", url=path.resolve().as_uri())
        while "Page.loadEventFired" not in self._events:
            await self._hear()

    async def value(self, expression: str) -> Any:
        """What a JavaScript expression gives."""
        answer = await self.send(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def point_at(self, x: float, y: float) -> None:
        """Move the mouse."""
        await self.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    async def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """Save what the page looks like."""
        shot = await self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))


def look(profile: Path, use: Callable[[Page], Any]) -> Any:
    """Run the coroutine function `use` with a page of a fresh browser, whose files are below `profile`."""
    return asyncio.run(_look(profile, use))


async def _look(profile: Path, use: Callable[[Page], Any]) -> Any:
    command = [find_browser(), *OPTIONS, f"--user-data-dir={profile}", "about:blank"]
    browser = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    connections: list[Any] = []
    try:
        async with asyncio.timeout(PATIENCE):
            address = await _address(browser)
            connections.append(await websocket_connect(address))
        connections.append(await _first_page(Page(connections[0]), address))
        return await use(Page(connections[-1]))
    finally:
        for connection in connections:
            connection.close()
        await _end(browser)


async def _end(browser: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        browser.terminate()
    try:
        async with asyncio.timeout(PATIENCE):
            await browser.communicate()
    except TimeoutError:
        browser.kill()
        await browser.communicate()


async def _address(browser: asyncio.subprocess.Process) -> str:
    """Where the browser listens: it says so on its standard error."""
    assert browser.stderr is not None
    said = []
    while line := await browser.stderr.readline():
        said.append(line.decode(errors="replace"))
        if "DevTools listening on" in said[-1]:
            return said[-1].split()[-1]
    raise AssertionError("the browser did not start:\n" + "".join(said[-20:]))


async def _first_page(browser: Page, address: str) -> Any:
    """A connection to the browser's first page."""
    targets = (await browser.send("Target.getTargets"))["targetInfos"]
    target = next(t["targetId"] for t in targets if t["type"] == "page")
    base = address.rpartition("/devtools/")[0]
    return await websocket_connect(f"{base}/devtools/page/{target}", max_message_size=1 << 27)
