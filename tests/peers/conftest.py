"""One running server for all peers."""

import uuid

import pytest

from servers import PASSWORD, Person, Server, running


@pytest.fixture(scope="session")
def server():
    with running() as one:
        yield one


@pytest.fixture(scope="session")
def fuzzed():
    """A server for the fuzzer alone."""
    with running() as one:
        yield one


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
