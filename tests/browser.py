"""Where Chromium is, and the Node.js that Playwright brings."""

import shutil


def chromium() -> str | None:
    """The browser of this machine, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
    return next((path for path in map(shutil.which, names) if path), None)


def node() -> str:
    """Playwright drives the browser with it, so it is always there."""
    from playwright._impl._driver import compute_driver_executable

    return str(compute_driver_executable()[0])
