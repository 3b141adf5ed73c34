"""Hooks of the fuzzer: what a schema cannot say. Loaded by `SCHEMATHESIS_HOOKS=fuzz`.

Every sentence here is a refusal that follows from the state of the server or from two fields
together; any other refusal of a request that the document allows is a fault.
"""

import schemathesis
from schemathesis.checks import CheckContext
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

# Two fields that do not go together.
TOGETHER = [
    "must not be before",
    "give either",
    "give exactly one of",
    "give both or neither",
    "send either content or messages",
    "must have one of the role user",
    "goes with the status `running` only",
    "is needed to set a new password",
    "goes with no headline and no lines",
]
# What the request names is not there, or not so.
STATE = [
    "must be in the future",
    "is no final segment of this meeting",
    "must be an account that takes part in the meeting",
    "there is no such message in this meeting",
    "leads to an address that may not be called",
    "the password is too easy to guess",
    "the file cannot be read",
]
# A bound that counts something else than characters, and NUL inside of free objects.
SIZE = [
    "bytes as JSON",
    "must not contain a NUL character",
]


@schemathesis.hook
def before_call(context, case, kwargs):
    """What only the server can make, made up: a cursor keeps from every list, a version from every change."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return
    if case.query:
        case.query.pop("cursor", None)
    if case.headers:
        case.headers.pop("If-Match", None)


@schemathesis.check
def allowed_data_acceptance(ctx: CheckContext, response, case):
    """Like `positive_data_acceptance`, with the refusals above."""
    if response.status_code in (400, 422):
        message = response.json()["error"]["message"]
        if any(sentence in message for sentence in TOGETHER + STATE + SIZE):
            return None
    return positive_data_acceptance(ctx, response, case)


@schemathesis.check
def forbidden_data_rejection(ctx: CheckContext, response, case):
    """Like `negative_data_rejection`, but for files: a text file of any bytes is a text file."""
    if case.operation.path.endswith("/import"):
        return None
    return negative_data_rejection(ctx, response, case)
