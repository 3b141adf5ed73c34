"""The quick start of the documents, run as it stands."""

import json
import os
import re
import shutil
import subprocess

import pytest
from conftest import ROOT

TOOLS = ["sh", "curl", "jq"]


def test_the_quick_start_ends_in_an_answer_that_cites(server, tmp_path):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        reason = f"the quick start uses {', '.join(missing)}"
        assert "MEETMIND_TEST_REQUIRE" not in os.environ, reason
        pytest.skip(reason)
    text = ROOT.joinpath("docs/quick-start.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    start, commands = blocks[0], blocks[1:]
    assert start.strip() == "cargo xtask run", "the first block starts the server; here one runs already"
    assert len(commands) >= 5
    script = "".join(commands)
    assert "http://127.0.0.1:8000" in script
    script = "set -eu\n" + script.replace("http://127.0.0.1:8000", server.url)
    done = subprocess.run(["sh"], input=script, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    # The last command prints its answer over several lines, from a brace at the margin to one.
    answer = json.loads("{" + done.stdout.rsplit("\n{", 1)[1])
    assert answer["found"] is True, answer
    quoted = [one["quote"] for one in answer["citations"] if one["segment_id"]]
    assert "We decided to buy the used filler for forty thousand pounds." in quoted
