"""The service's own certificate authority and server certificate, made at first start.

kubectl sends tokens over TLS only, so the one port speaks TLS beside plain HTTP. Nobody else's trust is asked for: the
kubeconfig carries the authority.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from beamhall.app.datadir import write_private

_LIFETIME = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)


def ensure_certificates(directory: Path, names: Sequence[str], now: datetime) -> tuple[ssl.SSLContext, str]:
    """Give the server's TLS context and its authority's certificate (PEM), making them where they are absent.

    Args:
        directory: Where they are kept.
        names: Host names and addresses that clients call the server by; a change makes a new server certificate.
        now: The time, in UTC.
    """
    authority, certificate, key = directory / "ca.crt", directory / "server.crt", directory / "server.key"
    wanted = "\n".join(sorted(names)) + "\n"
    recorded = directory / "names"
    if not (certificate.exists() and key.exists() and recorded.exists() and _is_fresh(directory, wanted, now)):
        directory.mkdir(mode=0o700, exist_ok=True)
        _make(directory, names, now)
        write_private(recorded, f"{(now + _LIFETIME).isoformat()}\n{wanted}")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    return context, authority.read_text()


def _is_fresh(directory: Path, wanted: str, now: datetime) -> bool:
    expiry, _, names = (directory / "names").read_text().partition("\n")
    return names == wanted and now + _RENEW_BEFORE < datetime.fromisoformat(expiry).astimezone(UTC)


def _make(directory: Path, names: Sequence[str], now: datetime) -> None:
    # Imported here: it costs every start 50 ms, and is needed at the first one only.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    from cryptography.x509.oid import ExtendedKeyUsageOID  # noqa: PLC0415

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])

    def builder(subject: str, issuer: str, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name(issuer))
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _LIFETIME)
        )

    issuer = "Beamhall local authority"
    authority_key, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False, key_encipherment=False,
        data_encipherment=False, key_agreement=False, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    authority = (
        builder(issuer, issuer, authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    server = (
        builder("beamhall", issuer, server_key.public_key())
        .add_extension(x509.SubjectAlternativeName([_general_name(n) for n in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    write_private(directory / "ca.crt", authority.public_bytes(pem).decode())
    write_private(directory / "server.crt", server.public_bytes(pem).decode())
    # The authority's key is not kept: a new server certificate comes with a new authority and a new kubeconfig.
    private = server_key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    write_private(directory / "server.key", private.decode())


def _general_name(name: str):  # type: ignore[no-untyped-def]  # noqa: ANN202 - a type of the lazily imported library
    from cryptography import x509  # noqa: PLC0415

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
