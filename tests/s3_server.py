"""A real S3 API server for tests: moto's, as a process of its own."""

import contextlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3

from beamhall.storage import StoreOptions

REGION = "us-east-1"


@dataclass(frozen=True, slots=True)
class S3Server:
    """Where it listens, and credentials that it knows."""

    url: str
    key: str
    secret: str

    def client(self) -> Any:
        """Give boto3's client for it."""
        return boto3.client(
            "s3", endpoint_url=self.url, aws_access_key_id=self.key, aws_secret_access_key=self.secret,
            region_name=REGION,
        )  # fmt: skip

    def options(self, scheme: str = "s3", **changed: Any) -> StoreOptions:
        """Give how it is reached."""
        said = {"endpoint": self.url, "region": REGION, "key": self.key, "secret": self.secret, "retries": 1}
        return StoreOptions(scheme, **{**said, **changed})


@contextlib.contextmanager
def s3_server() -> Iterator[S3Server]:
    """Run a server that checks credentials, with one user who may use S3."""
    # The first three calls, which make the user, need no credentials.
    env = {**os.environ, "INITIAL_NO_AUTH_ACTION_COUNT": "3", "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            url = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
            key, secret = _user(url)
            yield S3Server(url, key, secret)
        finally:
            process.terminate()
            process.communicate(timeout=30)


def _user(url: str) -> tuple[str, str]:
    iam = boto3.client(
        "iam", endpoint_url=url, aws_access_key_id="any", aws_secret_access_key="any", region_name=REGION
    )  # fmt: skip
    iam.create_user(UserName="steps")
    policy = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}'
    iam.put_user_policy(UserName="steps", PolicyName="store", PolicyDocument=policy)
    made = iam.create_access_key(UserName="steps")["AccessKey"]
    return made["AccessKeyId"], made["SecretAccessKey"]
