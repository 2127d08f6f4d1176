"""What tests of storage share: an S3 server, and storage that reaches it."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from beamhall.storage import Storage
from tests.s3_server import S3Server, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with s3_server() as server:
        server.client().create_bucket(Bucket="lab")
        yield server


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    made = Storage()
    yield made
    await asyncio.to_thread(made.close)
