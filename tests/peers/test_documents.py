"""The OpenAPI document, read by validators and fuzzers of others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator


def test_the_openapi_document_is_valid(server):
    document = server.client().get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    errors = list(OpenAPIV31SpecValidator(document).iter_errors())
    assert not errors, errors[:3]


# All checks of the fuzzer; the two that end in `acceptance` and `rejection` are ours (fuzz.py).
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "allowed_data_acceptance",
    "forbidden_data_rejection",
    "missing_required_header",
    "unsupported_method",
    "allow_header_conformance",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
]

# A fuzzer that signs itself out or erases itself would test nothing afterwards.
ENDS_ITSELF = r"^/auth/(logout|refresh)|^/api/me$|^/auth/sessions"


def token_of(who: str, server, person) -> list[str]:
    if who == "anonymous":
        return []
    token = server.administrator() if who == "administrator" else person("fuzz", server).token
    return ["-H", f"Authorization: Bearer {token}"]


@pytest.mark.parametrize(
    ("who", "phases", "only", "least"),
    [
        ("anonymous", "examples,coverage", None, 100),
        ("member", "examples,coverage,fuzzing", None, 100),
        ("member", "stateful", None, 10),
        ("administrator", "examples,coverage,fuzzing", "^/api/admin/", 5),
    ],
    ids=["anonymous", "member", "stateful", "administrator"],
)
def test_schemathesis_finds_no_fault(fuzzed, person, tmp_path, who, phases, only, least):
    # Few examples by default; MEETMIND_FUZZ_EXAMPLES=100 for the long run.
    examples = os.environ.get("MEETMIND_FUZZ_EXAMPLES", "4")
    arguments = [
        sys.executable, "-m", "schemathesis.cli", "run", f"{fuzzed.url}/openapi.json",
        # One worker: with more, the same seed gives other orders, and Python 3.11's `ast` fails at times
        # ("recursion depth mismatch": its counter is shared by threads).
        "--phases", phases, "--max-examples", examples, "--workers", "1", "--seed", "1", "--no-shrink",
        "--generation-database", "none", "--checks", ",".join(CHECKS), "--no-color",
        "--exclude-path-regex", ENDS_ITSELF,
    ]
    arguments += ["--include-path-regex", only] if only else []
    arguments += token_of(who, fuzzed, person)
    hooks = {"SCHEMATHESIS_HOOKS": "fuzz", "PYTHONPATH": str(Path(__file__).parent)}
    done = subprocess.run(arguments, cwd=tmp_path, env=os.environ | hooks, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stdout[-12000:] + done.stderr[-2000:]
    tested = re.search(r"Tested: +(\d+)", done.stdout)
    assert tested and int(tested[1]) >= least, done.stdout[-2000:]
