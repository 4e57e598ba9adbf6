"""Chromium without a window, spoken to over a pipe: a page as a reader sees it."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--remote-debugging-pipe",
]
# Chromium reads from descriptor 3 and writes to 4.
_START = """
import fcntl, os, sys
read, write = (fcntl.fcntl(int(given), fcntl.F_DUPFD, 10) for given in sys.argv[1:3])
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SILENCE_SECONDS = 120.0


# Elements that stick out of the window, and texts of pictures that stick out of their picture. What lies in a
# box that scrolls by itself may be wide.
STICKING_OUT = """(() => {
  const out = [];
  for (const one of document.querySelectorAll('body *')) {
    const box = one.getBoundingClientRect();
    if (!box.width || one.closest('.scroll') && !one.matches('.scroll')) continue;
    const svg = one.closest('svg');
    if (svg && !one.matches('text')) continue;
    const window = {left: 0, right: innerWidth, top: -Infinity, bottom: Infinity};
    const frame = svg ? svg.getBoundingClientRect() : window;
    const [left, right] = [box.left - frame.left, frame.right - box.right];
    const [above, below] = [box.top - frame.top, frame.bottom - box.bottom];
    const what = one.tagName + ' ' + one.textContent.trim().slice(0, 40);
    if (Math.min(left, right, above, below) < -1) out.push(what);
  }
  return [document.documentElement.scrollWidth <= innerWidth, out];
})()"""

# Every text with its colour, that of what lies behind it, and their contrast as WCAG 2.1 defines it.
CONTRASTS = """(() => {
  const channels = colour => colour.match(/[\\d.]+/g).map(Number);
  const luminance = colour => {
    const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    const [r, g, b] = channels(colour).map(c => linear(c / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = one => {
    for (let place = one; place; place = place.parentElement) {
      const colour = getComputedStyle(place).backgroundColor;
      if ((channels(colour)[3] ?? 1) > 0) return colour;
    }
  };
  const found = [];
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const one = texts.currentNode.parentElement;
    const text = texts.currentNode.data.trim(), kind = one.closest('svg') ? 'svg' : 'html';
    if (!text || one.closest('style') || !one.getClientRects().length) continue;
    const colour = getComputedStyle(one)[kind === 'svg' ? 'fill' : 'color'];
    const [light, dark] = [luminance(colour), luminance(behind(one))].sort((a, b) => b - a);
    found.push([(light + 0.05) / (dark + 0.05), kind, text, colour]);
  }
  return found;
})()"""


class Chromium:
    """One page, by the DevTools protocol; its messages end with a zero byte.

    Attributes:
        requested: the addresses that the page has asked for since it was opened.
    """

    def __init__(self) -> None:
        self._profile = tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True)
        read, self._write = os.pipe()
        self._read, write = os.pipe()
        profile = f"--user-data-dir={self._profile.name}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", _START, str(read), str(write), str(PROGRAM), *_FLAGS, profile],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._rest = b""
        self._calls = 0
        self._session = ""
        self._loaded = False
        self.requested: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.call("Page.enable")
        self.call("Network.enable")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read)
        os.close(self._write)
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Sends a command and returns its result; events that come before it are noted."""
        self._calls += 1
        message = {"id": self._calls, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._receive()).get("id") != self._calls:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, page: str | Path, width: int, scheme: str = "light") -> None:
        """Shows a local file or an address in a window of `width` CSS pixels; `scheme`: light or dark."""
        # Not as a phone: that would widen the window to what sticks out of it.
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", features=features)
        self.requested.clear()
        self._loaded = False
        address = str(page) if str(page).startswith("http") else Path(page).resolve().as_uri()
        self.call("Page.navigate", url=address)
        self._await_load()

    def press(self, key: str, opens: bool = False) -> None:
        """Presses a key, such as Tab or Enter; waits for the page that it `opens`."""
        code = {"Tab": 9, "Enter": 13}.get(key, 0)
        self._loaded = False
        text = {"Enter": "\r"}.get(key, "" if code else key)
        facts = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
        self.call("Input.dispatchKeyEvent", type="keyUp", **facts)
        if opens:
            self._await_load()

    def _await_load(self) -> None:
        while not self._loaded:
            self._receive()

    def value(self, script: str) -> Any:
        """What a JavaScript expression gives on the page."""
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def _receive(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], _SILENCE_SECONDS)
            part = os.read(self._read, 1 << 20) if ready else b""
            assert part, "Chromium has ended, or says nothing"
            self._rest += part
        text, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        if message.get("method") == "Network.requestWillBeSent":
            self.requested.append(message["params"]["request"]["url"])
        self._loaded |= message.get("method") == "Page.loadEventFired"
        return message
