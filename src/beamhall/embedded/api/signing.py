"""The key that service-account tokens are signed with, and the form of the tokens: JSON Web Tokens by ES256.

What the claims mean is in ``tokens``. Nothing is loaded, and no key is made, before the first token is asked for.
Source: RFC 7515 to 7519; OpenID Connect Discovery 1.0.
"""

import base64
import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any

ALGORITHM = "ES256"
_CHECKED_BY_US = dict.fromkeys(("verify_exp", "verify_nbf", "verify_iat", "verify_aud", "verify_iss"), False)


class SigningKey:
    """A private key, and what it signs.

    Args:
        pem: The key (PKCS 8, P-256, PEM); empty: a new one, which ends with the process.
    """

    def __init__(self, pem: str = "") -> None:
        self._pem = pem

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Write claims as a token."""
        import jwt  # noqa: PLC0415  it loads cryptography, 60 ms that no start should wait for

        return jwt.encode(dict(claims), self._private, algorithm=ALGORITHM, headers={"kid": self.key_id})

    def read(self, token: str) -> dict[str, Any] | None:
        """Give the claims of a token that this key signed, None for any other text. Times are the caller's to check."""
        import jwt  # noqa: PLC0415  as above

        try:
            return jwt.decode(token, self._private.public_key(), algorithms=[ALGORITHM], options=_CHECKED_BY_US)  # type: ignore[arg-type]
        except jwt.InvalidTokenError:
            return None

    @cached_property
    def key_id(self) -> str:
        """Name of the key in tokens: made from the public key, so that it changes with it."""
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  as above

        public = self._private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.urlsafe_b64encode(hashlib.sha256(public).digest()).decode().rstrip("=")

    def key_set(self) -> dict[str, Any]:
        """Give the public key as a JSON Web Key Set."""
        from jwt.algorithms import ECAlgorithm  # noqa: PLC0415  as above

        public = ECAlgorithm.to_jwk(self._private.public_key(), as_dict=True)
        return {"keys": [{"use": "sig", "kid": self.key_id, "alg": ALGORITHM, **public}]}

    @cached_property
    def _private(self):  # type: ignore[no-untyped-def]  # noqa: ANN202  a type of the lazily imported library
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  as above
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415  as above

        if not self._pem:
            return ec.generate_private_key(ec.SECP256R1())
        return serialization.load_pem_private_key(self._pem.encode(), password=None)
