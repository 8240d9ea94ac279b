"""Fixtures of the tests of batches."""

from s3_server import s3_root  # noqa: F401
