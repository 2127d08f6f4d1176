"""Certificates: made once, renewed when names change or the end is near."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from beamhall.app.certificates import ensure_certificates

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_certificates_are_made_once(tmp_path: Path) -> None:
    _, first = ensure_certificates(tmp_path / "tls", ["localhost", "127.0.0.1"], NOW)
    _, again = ensure_certificates(tmp_path / "tls", ["127.0.0.1", "localhost"], NOW)
    assert first == again
    assert first.startswith("-----BEGIN CERTIFICATE-----")


def test_a_new_name_or_a_near_end_makes_new_ones(tmp_path: Path) -> None:
    _, first = ensure_certificates(tmp_path / "tls", ["localhost"], NOW)
    _, renamed = ensure_certificates(tmp_path / "tls", ["localhost", "lab.example.org"], NOW)
    _, renewed = ensure_certificates(tmp_path / "tls", ["localhost", "lab.example.org"], NOW + timedelta(days=3645))
    assert len({first, renamed, renewed}) == 3
