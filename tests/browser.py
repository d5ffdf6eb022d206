"""A page of ours in a real browser: what stands in it after it was opened, and a picture of it."""

import shutil
import subprocess
from pathlib import Path

import pytest


def chromium() -> str:
    """The browser's command; skips the test where there is none."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("no chromium here to open the page in")
    return found


def opened(page: Path, profile: Path, shot: Path | None = None) -> str:
    """The page's content once it was opened; a screenshot of it in `shot`."""
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", *quiet]
    address = f"file://{page.absolute()}"
    done = subprocess.run([*command, "--dump-dom", address], capture_output=True, text=True, timeout=120, check=True)
    if shot is not None:
        subprocess.run([*command, "--window-size=1200,1600", f"--screenshot={shot}", address], check=True, timeout=120)
    return done.stdout
