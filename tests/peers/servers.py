"""The program under test: started on a free port, with a data directory of its own."""

import os
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "plum-kettle-41-orbit"
# The pair with which tokens for rooms are signed.
LIVEKIT_KEY = "peers"
LIVEKIT_SECRET = "a-secret-of-the-tests-alone-0123456789"

# Receivers of webhooks live on this machine here, which is refused otherwise; and servers run side by side.
SETTINGS = f"""
[outbound]
allow_private = true

[media]
udp_port = 0
tcp_port = 0

[livekit]
api_key = "{LIVEKIT_KEY}"
api_secret = "{LIVEKIT_SECRET}"
"""


@dataclass
class Server:
    """A running server."""

    url: str
    set_up_link: str
    administrator_token: str = ""

    @property
    def socket_url(self) -> str:
        """The address for LiveKit clients."""
        return self.url.replace("http", "ws", 1)

    def client(self, token: str | None = None) -> httpx.Client:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)

    def administrator(self) -> str:
        """The access token of the first administrator, who is made by the first call."""
        if not self.administrator_token:
            token = self.set_up_link.split("token=")[1]
            body = {"token": token, "email": "root@example.com", "password": PASSWORD, "name": "Root"}
            answer = self.client().post("/auth/setup", json=body)
            assert answer.status_code == 201, answer.text
            self.administrator_token = answer.json()["data"]["access_token"]
        return self.administrator_token


@dataclass
class Person:
    """Somebody with an account, signed in."""

    email: str
    token: str
    refresh_token: str
    http: httpx.Client


@contextmanager
def running():
    binary = Path(os.environ.get("MEETMIND_BINARY", ROOT / "target/debug/meetmind"))
    with tempfile.TemporaryDirectory(prefix="meetmind-peers-") as folder:
        config = Path(folder, "meetmind.toml")
        config.write_text(SETTINGS)
        log = open(Path(folder, "log"), "w+", encoding="utf-8")
        arguments = [binary, "serve", "--listen", "127.0.0.1:0", "--config", config, "--data-dir", Path(folder, "data")]
        # The server refuses settings it does not know, and these tests have some of their own.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MEETMIND_")}
        process = subprocess.Popen(arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
        first = process.stdout.readline()
        assert first.startswith("listening on "), f"{first}\n{Path(folder, 'log').read_text()}"
        process.stdout.readline()
        link = process.stdout.readline().strip()
        yield Server(url=first.removeprefix("listening on ").strip(), set_up_link=link)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=15) == 0, "the server did not drain"
        log.seek(0)
        text = log.read()
        assert "panicked" not in text, text[-4000:]
