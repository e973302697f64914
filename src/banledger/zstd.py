"""zstd (RFC 8878): the module of Python 3.14's standard library, or its backport for older ones."""

import sys

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["MAGIC", "zstd"]

MAGIC = b"\x28\xb5\x2f\xfd"
"""The first bytes of a frame."""
