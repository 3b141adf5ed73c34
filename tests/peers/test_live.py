"""Live events, over the WebSocket and SSE clients of others."""

import json
from contextlib import contextmanager

import httpx
import pytest
from httpx_sse import connect_sse
from websockets.sync.client import connect


@contextmanager
def socket(server, token):
    with connect(server.url.replace("http", "ws") + "/ws") as connection:
        connection.send(json.dumps({"op": "auth", "token": token}))
        assert json.loads(connection.recv(timeout=10))["op"] == "ready"
        yield connection


def test_a_websocket_resumes_without_loss(server, meeting):
    host, meeting_id = meeting
    topic = f"meeting:{meeting_id}"
    with socket(server, host.token) as first:
        first.send(json.dumps({"op": "subscribe", "topic": topic, "after": 0}))
        seen = []
        while len(seen) < 3:
            frame = json.loads(first.recv(timeout=10))
            if "seq" in frame and "type" in frame:
                seen.append(frame["seq"])
    for number in range(5):
        answer = host.http.post(f"/api/meetings/{meeting_id}/messages", json={"text": f"hello {number}"})
        assert answer.status_code == 201, answer.text
    with socket(server, host.token) as second:
        second.send(json.dumps({"op": "subscribe", "topic": topic, "after": seen[-1]}))
        texts = []
        while len(texts) < 5:
            frame = json.loads(second.recv(timeout=10))
            if "seq" in frame and "type" in frame:
                seen.append(frame["seq"])
                if frame["type"] == "message.posted":
                    texts.append(frame["data"]["text"])
    assert seen == list(range(1, len(seen) + 1))
    assert texts == [f"hello {number}" for number in range(5)]


def test_server_sent_events_carry_the_same(server, meeting):
    host, meeting_id = meeting
    with connect_sse(host.http, "GET", f"/api/meetings/{meeting_id}/events", params={"after": 0}) as source:
        kinds = []
        for event in source.iter_sse():
            kinds.append(event.event)
            assert json.loads(event.data)["seq"] == int(event.id)
            if event.event == "segment.finalized":
                break
    assert kinds[0] == "meeting.created"


def test_a_stranger_hears_nothing(server, meeting, person):
    _, meeting_id = meeting
    ben = person("ben")
    with socket(server, ben.token) as connection:
        connection.send(json.dumps({"op": "subscribe", "topic": f"meeting:{meeting_id}", "after": 0}))
        frame = json.loads(connection.recv(timeout=10))
        assert (frame["op"], frame["code"]) == ("error", "NOT_FOUND")
    answer = httpx.get(f"{server.url}/api/meetings/{meeting_id}/events", headers={"authorization": f"Bearer {ben.token}"})
    assert answer.status_code == 404


@pytest.mark.parametrize("frame", ["", "{", "[]", '{"op":"fly"}', '{"op":"subscribe","topic":"meeting:x"}'])
def test_a_broken_frame_is_answered_not_fatal(server, person, frame):
    with socket(server, person("carl").token) as connection:
        connection.send(frame)
        assert json.loads(connection.recv(timeout=10))["op"] == "error"
        connection.send(json.dumps({"op": "ping"}))
        assert json.loads(connection.recv(timeout=10))["op"] == "pong"
