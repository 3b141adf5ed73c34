"""Access tokens, verified by PyJWT from our published keys."""

import jwt
import pytest


def test_an_access_token_verifies_with_the_published_key(server, person):
    anna = person("anna")
    key = jwt.PyJWKClient(f"{server.url}/.well-known/jwks.json").get_signing_key_from_jwt(anna.token)
    claims = jwt.decode(anna.token, key.key, algorithms=["ES256"], audience="meetmind")
    assert claims["exp"] - claims["iat"] == 900
    assert claims["sub"].startswith("usr_") and claims["sid"].startswith("ses_")


@pytest.mark.parametrize("forge", ["none", "hs256", "other key"])
def test_a_forged_token_is_refused(server, person, forge):
    anna = person("anna")
    claims = jwt.decode(anna.token, options={"verify_signature": False})
    header = jwt.get_unverified_header(anna.token)
    if forge == "none":
        token = jwt.encode(claims, "", algorithm="none", headers=header | {"alg": "none"})
    elif forge == "hs256":
        public = server.client().get("/.well-known/jwks.json").text
        token = jwt.encode(claims, public, algorithm="HS256", headers={"kid": header["kid"], "typ": header["typ"]})
    else:
        from cryptography.hazmat.primitives.asymmetric import ec

        token = jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), algorithm="ES256", headers={"kid": header["kid"], "typ": header["typ"]})
    answer = server.client(token).get("/api/meetings")
    assert answer.status_code == 401, answer.text
    assert answer.json()["success"] is False
