"""What a reader with a phone waits for: requests, bytes and paint of every page of the built book (make pages).

Chromium, 390 px wide, four times slower than this machine, over "slow 4G" (1.6 Mbit/s down, 150 ms for each request),
with an empty cache for every page. The pages come gzipped, as most hosts send them.
"""

import functools
import gzip
import http.server
import sys
import threading
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser import chromium

BOOK = Path(sys.argv[1] if len(sys.argv) > 1 else "_build/html").resolve()
PAINTED = """() => new Promise(resolve => new PerformanceObserver(list => resolve([
    performance.getEntriesByName('first-contentful-paint')[0].startTime, list.getEntries().at(-1).startTime
])).observe({type: 'largest-contentful-paint', buffered: true}))"""


@functools.cache
def zipped(path: str) -> bytes:
    return gzip.compress(Path(path).read_bytes(), 6)


class Host(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.translate_path(self.path)
        if not Path(path).is_file():
            return self.send_error(404)
        packed = Path(path).suffix in (".html", ".css", ".js", ".svg", ".json", ".ipynb")
        content = zipped(path) if packed else Path(path).read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(path))
        self.send_header("Content-Length", str(len(content)))
        if packed:
            self.send_header("Content-Encoding", "gzip")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None: ...


def main() -> None:
    server = http.server.ThreadingHTTPServer(("localhost", 0), functools.partial(Host, directory=BOOK))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    pages = sorted(path.relative_to(BOOK).as_posix() for path in BOOK.rglob("*.html") if "_static" not in path.parts)
    pages.remove("index.html")  # sends the reader on to book/index.html
    print(f"{'page':45}{'requests':>9}{'kB':>8}{'gzipped':>9}{'first paint':>13}{'largest':>9}")
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        for name in pages:
            context = browser.new_context(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True)
            page = context.new_page()
            seen: dict[str, list[dict]] = {"requestWillBeSent": [], "dataReceived": [], "loadingFinished": []}
            cdp = context.new_cdp_session(page)
            for event, events in seen.items():
                cdp.on(f"Network.{event}", lambda given, events=events: events.append(given))
            cdp.send("Network.enable")
            slow = {"latency": 150, "downloadThroughput": 1.6e6 / 8, "uploadThroughput": 0.75e6 / 8}
            cdp.send("Network.emulateNetworkConditions", {"offline": False, **slow})
            cdp.send("Emulation.setCPUThrottlingRate", {"rate": 4})
            page.goto(f"http://localhost:{server.server_port}/{name}", wait_until="networkidle", timeout=120_000)
            first, largest = page.evaluate(PAINTED)
            fetched = sum(event["request"]["url"].startswith("http") for event in seen["requestWillBeSent"])
            plain = sum(event["dataLength"] for event in seen["dataReceived"]) / 1e3
            packed = sum(event["encodedDataLength"] for event in seen["loadingFinished"]) / 1e3
            print(
                f"{name:45}{fetched:9}{plain:8.0f}{packed:9.0f}{first / 1e3:11.2f} s{largest / 1e3:7.2f} s", flush=True
            )
            context.close()


if __name__ == "__main__":
    main()
