"""Quantities as Kubernetes reads, rounds and writes them."""

from decimal import Decimal

import pytest

from beamhall.kernel.quantities import (
    canonical_quantity,
    format_binary,
    format_decimal,
    milli,
    parse_quantity,
    whole,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", "0"),
        ("1", "1"),
        ("500m", "0.5"),
        ("0.5", "0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("+1.50", "1.5"),
        ("-2k", "-2000"),
        ("1Ki", "1024"),
        ("1.5Gi", "1610612736"),
        ("1e3", "1000"),
        ("1E3", "1000"),
        ("1E", "1000000000000000000"),
        ("12e-1", "1.2"),
        ("250u", "0.00025"),
        ("7n", "0.000000007"),
        ("0.1n", "0.000000001"),
        ("-0.1n", "-0.000000001"),
        ("100E", str(2**63 - 1)),
        (2, "2"),
        (0.1, "0.1"),
    ],
)
def test_quantities_are_read_exactly(text: str | int | float, value: str) -> None:
    assert parse_quantity(text) == Decimal(value)


@pytest.mark.parametrize(
    "text", ["", "m", "1 Gi", "1gi", "1KiB", "0x10", "1e", "1e1.5", "--1", "nan", "inf", "1" * 65, "٣"]
)
def test_what_is_no_quantity_is_refused_by_name(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity") as caught:
        parse_quantity(text)
    assert repr(text[:64]) in str(caught.value)


def test_a_boolean_is_no_quantity() -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_quantity(True)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1000m", "1"),
        ("0.5", "500m"),
        ("1500m", "1500m"),
        ("1000", "1k"),
        ("1024Ki", "1Mi"),
        ("1536Mi", "1536Mi"),
        ("1.5Gi", "1536Mi"),
        ("0.5Ki", "512"),
        ("1000e3", "1e6"),
        ("5e0", "5"),
        ("-1000", "-1k"),
        ("0Gi", "0"),
        ("000", "0"),
    ],
)
def test_quantities_are_written_as_a_server_stores_them(text: str, canonical: str) -> None:
    assert canonical_quantity(text) == canonical


def test_units_are_rounded_up() -> None:
    assert (milli("1.5"), milli("1u"), milli("-1500u")) == (1500, 1, -1)
    assert (whole("1Gi"), whole("100m"), whole("2.0001")) == (2**30, 1, 3)


def test_numbers_are_written_with_units() -> None:
    assert (format_decimal(Decimal("0.25")), format_decimal(3000), format_decimal(0)) == ("250m", "3k", "0")
    assert (format_binary(2**30), format_binary(1000), format_binary(0), format_binary(-2048)) == (
        "1Gi",
        "1000",
        "0",
        "-2Ki",
    )
