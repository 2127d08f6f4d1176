"""The key that service-account tokens are signed with: ``DIR/service-account.key``, made at first start, mode 0600.

Whoever has it can be any service account. Without it, every token of before is worth nothing.
"""

from pathlib import Path

from beamhall.app.datadir import write_private

FILE = "service-account.key"


def ensure_signing_key(data: Path) -> str:
    """Give the key (PEM), making it where it is absent."""
    file = data / FILE
    if not file.exists():
        # Imported here: it costs every start 50 ms, and is needed at the first one only.
        from cryptography.hazmat.primitives import serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

        key = ec.generate_private_key(ec.SECP256R1())
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(file, pem.decode())
    return file.read_text()
