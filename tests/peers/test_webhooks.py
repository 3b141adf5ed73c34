"""Webhooks, received and verified by the Standard Webhooks library."""

import queue
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from standardwebhooks.webhooks import Webhook


@pytest.fixture
def receiver():
    """An endpoint that takes what comes."""
    received = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            received.put((dict(self.headers), body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    http = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{http.server_port}/hook", received
    http.shutdown()


def test_a_delivery_verifies_and_is_listed(meeting, receiver):
    host, meeting_id = meeting
    url, received = receiver
    made = host.http.post("/api/webhooks", json={"url": url, "events": ["message.posted"]})
    assert made.status_code == 201, made.text
    secret, webhook_id = made.json()["data"]["secret"], made.json()["data"]["id"]
    assert host.http.post(f"/api/meetings/{meeting_id}/messages", json={"text": "to the hook"}).status_code == 201
    headers, body = received.get(timeout=20)
    payload = Webhook(secret).verify(body, {name.lower(): value for name, value in headers.items()})
    assert payload["type"] == "message.posted"
    assert payload["data"]["data"]["text"] == "to the hook"
    # The answer to the delivery is written down a moment after it was given.
    deadline = time.monotonic() + 10
    while True:
        listed = host.http.get(f"/api/webhooks/{webhook_id}/deliveries").json()["data"]["items"]
        if listed[0]["attempts"] or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    assert [delivery["attempts"] for delivery in listed] == [1]
    with pytest.raises(Exception):
        Webhook(secret).verify(body + b" ", {name.lower(): value for name, value in headers.items()})
