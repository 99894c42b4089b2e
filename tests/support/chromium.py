"""A headless Chromium, driven through chromedriver's WebDriver protocol with nothing but `urllib`.

Its proxy is a port at which nobody listens, so that whatever a page asks of somebody fails; and
every request that it makes, failed or not, is in `requests()`.
"""

import base64
import contextlib
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_S = 60
CALL_S = 60
NOWHERE = "http://127.0.0.1:9"  # discard: no server listens there
ARGUMENTS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
    "--disable-background-networking", "--disable-component-update", "--no-first-run",
    f"--proxy-server={NOWHERE}", "--proxy-bypass-list=<-loopback>",
)  # fmt: skip
# As from a server, not through the proxy: the driver is on this machine
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True)
class Browser:
    """One window. `session` is the address of its session at the driver."""

    session: str

    def open(self, path: Path, *, width: int = 1280, dark: bool = False) -> None:
        """Load a file in a window so many pixels wide, in the light or the dark scheme."""
        self.size(width)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self.console(), self.requests()  # earlier entries are not the page's
        self._post("url", url=path.as_uri())

    def size(self, width: int, height: int = 800) -> None:
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1,
            mobile=width < 600,
        )  # fmt: skip

    def run(self, script: str, *arguments: Any) -> Any:
        """The value that a JavaScript function body returns."""
        return self._post("execute/sync", script=script, args=list(arguments))

    def press(self, *keys: str) -> None:
        """Press keys, one after the other, in the focused element."""
        strokes = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._post("actions", actions=[{"type": "key", "id": "keys", "actions": strokes}])

    def console(self) -> list[str]:
        """Errors and warnings since the last call."""
        return [entry["message"] for entry in self._post("se/log", type="browser")]

    def requests(self) -> list[str]:
        """The addresses requested since the last call."""
        entries = self._post("se/log", type="performance")
        events = [json.loads(entry["message"])["message"] for entry in entries]
        return [
            event["params"]["request"]["url"]
            for event in events
            if event["method"] == "Network.requestWillBeSent"
        ]

    def screenshot(self, path: Path) -> None:
        """The whole page, not only what is in the window, as PNG."""
        taken = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    def wait_for(self, happened: Callable[[], bool], *, limit_s: float = 20) -> None:
        end = time.monotonic() + limit_s
        while not happened():
            assert time.monotonic() < end, f"did not happen within {limit_s} s"
            time.sleep(0.05)

    def devtools(self, command: str, **parameters: Any) -> Any:
        return self._post("goog/cdp/execute", cmd=command, params=parameters)

    def _post(self, name: str, **values: Any) -> Any:
        return _call(f"{self.session}/{name}", values)


@contextlib.contextmanager
def started() -> Iterator[Browser]:
    """A Chromium that ends with the block, together with its driver."""
    missing = [name for name in ("chromium", "chromedriver") if shutil.which(name) is None]
    assert not missing, f"{' and '.join(missing)} not found: tests/browser/install gets them"
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="transferlab-browser-") as folder:
        driver = subprocess.Popen(
            ["chromedriver", f"--port={port}", "--log-level=SEVERE"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address)
            session = f"{address}/session/{_session(address, Path(folder))}"
            try:
                yield Browser(session)
            finally:
                _call(session, None, method="DELETE")
        finally:
            driver.terminate()
            driver.wait(timeout=30)


def _session(address: str, folder: Path) -> str:
    options = {"args": [*ARGUMENTS, f"--user-data-dir={folder}/profile"], "binary": _binary()}
    capabilities = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    made = _call(f"{address}/session", {"capabilities": {"alwaysMatch": capabilities}})
    return str(made["sessionId"])


def _binary() -> str:
    found = shutil.which("chromium")
    assert found is not None
    return found


def _wait(address: str) -> None:
    end = time.monotonic() + START_S
    while True:
        with contextlib.suppress(OSError):
            if _call(f"{address}/status", None, method="GET")["ready"]:
                return
        assert time.monotonic() < end, "chromedriver does not answer"
        time.sleep(0.05)


def _call(address: str, values: dict[str, Any] | None, method: str = "POST") -> Any:
    content = None if values is None else json.dumps(values).encode()
    request = urllib.request.Request(address, data=content, method=method)
    request.add_header("Content-Type", "application/json")
    try:
        with _OPENER.open(request, timeout=CALL_S) as answer:
            return json.load(answer)["value"]
    except urllib.error.HTTPError as error:
        raise AssertionError(json.load(error)["value"]["message"]) from error


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
