"""Subnets: services on one machine take different ones, and come back to their own."""

from contextlib import closing
from pathlib import Path

from beamhall.embedded.agent.subnets import Subnet

NETWORK = "127.32.0.0/18"  # four parts; not where services of other tests are


def test_services_take_different_parts_and_come_back_to_their_own(tmp_path: Path) -> None:
    with closing(Subnet(NETWORK, tmp_path / "a")) as a:
        own = a.network
        others = [Subnet(NETWORK, tmp_path / "a") for _ in range(3)]
        assert len({own, *(other.network for other in others)}) == 4
        for other in others:
            other.close()
    with closing(Subnet(NETWORK, tmp_path / "a")) as again:
        assert again.network == own


def test_a_service_starts_even_where_all_parts_are_taken(tmp_path: Path) -> None:
    with closing(Subnet("127.33.0.0/24", tmp_path)) as one, closing(Subnet("127.33.0.0/24", tmp_path)) as other:
        assert str(one.network) == str(other.network) == "127.33.0.0/24"
