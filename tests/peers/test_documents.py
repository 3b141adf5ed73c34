"""The OpenAPI document, read by validators and fuzzers of others."""

import os
import re
import subprocess
import sys

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator


def test_the_openapi_document_is_valid(server):
    document = server.client().get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    assert not errors, errors[:3]


@pytest.mark.parametrize("who", ["anonymous", "member"])
def test_schemathesis_finds_no_fault(server, person, tmp_path, who):
    # Few examples by default; MEETMIND_FUZZ_EXAMPLES=100 for the long run.
    examples = os.environ.get("MEETMIND_FUZZ_EXAMPLES", "8")
    arguments = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/openapi.json",
        "--phases", "examples,coverage,fuzzing", "--max-examples", examples, "--workers", "2", "--seed", "1",
        # A fuzzer that signs itself out or erases itself would test nothing afterwards.
        "--exclude-path-regex", r"^/auth/(logout|refresh)|^/api/me$|^/auth/sessions",
        "--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,unsupported_method",
        "--no-color",
    ]
    if who == "member":
        arguments += ["-H", f"Authorization: Bearer {person('fuzz').token}"]
    done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True, timeout=1500, check=False)
    tail = done.stdout[-6000:]
    assert done.returncode == 0, tail + done.stderr[-2000:]
    tested = re.search(r"(\d+) passed|Tested: +(\d+)|Operations: +(\d+)", done.stdout)
    assert tested, tail
