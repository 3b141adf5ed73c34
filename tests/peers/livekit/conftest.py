"""Rooms for the LiveKit clients, and what their tests need beside Python."""

import asyncio
import inspect
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest

from people import Company
from servers import LIVEKIT_KEY, LIVEKIT_SECRET, ROOT

# No test may take longer; a client that never answers fails it.
LIMIT_S = 120
NODE = Path(__file__).parent / "node"


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    """Runs a test that is a coroutine, with a limit."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    wanted = inspect.signature(pyfuncitem.obj).parameters
    arguments = {name: pyfuncitem.funcargs[name] for name in wanted}
    asyncio.run(asyncio.wait_for(pyfuncitem.obj(**arguments), LIMIT_S))
    return True


@pytest.fixture(params=[True, False], ids=["one connection", "two connections"])
def company(request, server):
    """A room of its own for people whose clients use one peer connection, or two."""
    return Company(server.socket_url, f"room-{uuid.uuid4().hex[:8]}", request.param)


@pytest.fixture
def gathering(server):
    """A room of its own, with the client's own choice of connections."""
    return Company(server.socket_url, f"room-{uuid.uuid4().hex[:8]}", None)


def absent(tool: str, text: str):
    """Skips a test for want of a tool, or fails it where the tool must be there."""
    required = os.environ.get("MEETMIND_TEST_REQUIRE", "").split(",")
    if tool in [name.strip() for name in required]:
        pytest.fail(f"{text} (required here)")
    pytest.skip(text)


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a browser."""
    names = ["chromium", "chromium-browser", "google-chrome", "chrome"]
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    return found or absent("chromium", "no Chromium found; apt-get install chromium, or set CHROMIUM to its path")


@pytest.fixture(scope="session")
def node(server):
    """Runs a file of Node's tests against the server; fails with what they wrote."""
    program = shutil.which("node")
    if program is None:
        absent("node", "no Node 20 or newer found; see nodejs.org")
    if not (NODE / "node_modules").is_dir():
        absent("node", f"the packages of Node's tests are missing; npm ci --prefix {NODE.relative_to(ROOT)}")

    def run(file: str, **settings: str):
        environment = os.environ | {
            "LIVEKIT_URL": server.socket_url,
            "LIVEKIT_API_KEY": LIVEKIT_KEY,
            "LIVEKIT_API_SECRET": LIVEKIT_SECRET,
        }
        done = subprocess.run(
            [program, "--test", "--test-reporter=spec", str(NODE / file)],
            env=environment | settings, capture_output=True, text=True, timeout=180, check=False,
        )
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        # A file without tests passes too.
        assert "ℹ pass 0" not in done.stdout, done.stdout

    return run


@pytest.fixture(scope="session")
def worker_python() -> str:
    """Python with `livekit-agents`, whose releases pin another `livekit` than applications use."""
    found = Path(os.environ.get("AGENTS_PYTHON", ROOT / ".local/venv-agents/bin/python"))
    if not found.is_file():
        absent("python", "no environment with livekit-agents; `cargo xtask test --step peers` makes it, or set AGENTS_PYTHON")
    return str(found)
