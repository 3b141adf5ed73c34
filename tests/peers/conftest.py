"""One running server for all peers, on a free port and a data directory of its own."""

import os
import signal
import subprocess
import tempfile
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "plum-kettle-41-orbit"


@dataclass
class Server:
    """A running server."""

    url: str
    set_up_link: str
    administrator_token: str = ""

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


@pytest.fixture(scope="session")
def server():
    with running() as one:
        yield one


@pytest.fixture(scope="session")
def fuzzed():
    """A server for the fuzzer alone."""
    with running() as one:
        yield one


@contextmanager
def running():
    binary = Path(os.environ.get("MEETMIND_BINARY", ROOT / "target/debug/meetmind"))
    with tempfile.TemporaryDirectory(prefix="meetmind-peers-") as folder:
        # Receivers of webhooks live on this machine here, which is refused otherwise.
        config = Path(folder, "meetmind.toml")
        config.write_text("[outbound]\nallow_private = true\n")
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


@pytest.fixture
def person(server):
    """Makes people."""

    def make(name: str, server=server) -> Person:
        email = f"{name}-{uuid.uuid4().hex[:8]}@example.com"
        answer = server.client().post("/auth/register", json={"email": email, "password": PASSWORD, "name": name.title()})
        assert answer.status_code == 201, answer.text
        data = answer.json()["data"]
        token = data["access_token"]
        return Person(email, token, data["refresh_token"], server.client(token))

    return make


@pytest.fixture
def meeting(person):
    """A meeting with a little said, and its host."""
    host = person("anna")
    made = host.http.post("/api/meetings", json={"title": "Weekly", "access": "link", "consent_policy": "implied", "starts_at": "2026-03-02T09:00:00Z"})
    assert made.status_code == 201, made.text
    meeting_id = made.json()["data"]["id"]
    assert host.http.post(f"/api/meetings/{meeting_id}/join", json={}).status_code == 200
    lines = [
        {"speaker": "Anna", "text": "Welcome, let us look at the budget <today> & tomorrow.", "start_ms": 0, "end_ms": 4000},
        {"speaker": "Ben", "text": "Action item: I will send the draft by Friday.", "start_ms": 4200, "end_ms": 8000},
    ]
    said = host.http.post(f"/api/meetings/{meeting_id}/transcript", json=lines)
    assert said.status_code == 201, said.text
    return host, meeting_id
