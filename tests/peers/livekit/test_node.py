"""LiveKit's packages for Node and its client in a browser; the scenarios are the `*.test.mjs` in `node/`."""

import pytest


def test_the_node_client_meets_another(node):
    node("rooms.test.mjs")


def test_the_server_package_of_node_is_understood(node):
    node("server_calls.test.mjs")


@pytest.mark.parametrize("connections", ["one", "two"])
def test_two_pages_meet_in_a_browser(node, chromium, connections):
    node("browser.test.mjs", CHROMIUM=chromium, CONNECTIONS=connections)
