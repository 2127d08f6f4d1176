"""What others need to check tokens of service accounts by themselves: who issues them, and the public key.

Source: OpenID Connect Discovery 1.0; Kubernetes "ServiceAccount token issuer discovery".
"""

from beamhall.embedded.api.replies import Reply, reply
from beamhall.embedded.api.requests import Request
from beamhall.embedded.api.signing import ALGORITHM, SigningKey
from beamhall.embedded.api.tokens import ISSUER

_KEYS = "/openid/v1/jwks"
_CONFIGURATION = {
    "issuer": ISSUER,
    "jwks_uri": f"{ISSUER}{_KEYS}",
    "response_types_supported": ["id_token"],
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": [ALGORITHM],
}


def issuer_answer(request: Request, key: SigningKey) -> Reply | None:
    """Answer a request about the issuer; None if the path is about something else."""
    path = request.path.rstrip("/")
    if request.method != "GET":
        return None
    if path == "/.well-known/openid-configuration":
        return reply(_CONFIGURATION)
    if path == _KEYS:
        answer = reply(key.key_set())
        answer.media_type = "application/jwk-set+json"
        return answer
    return None
