"""The archive for a bug report: redacted evidence as files of a tar.gz that only its owner can read."""

import io
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec.structs import asdict

from banledger.doctor.evidence import Evidence
from banledger.doctor.redaction import Redaction
from banledger.errors import OutputError

HEAD = "banledger-doctor"
"""The directory in the archive."""


def members(evidence: Evidence, redaction: Redaction) -> dict[str, bytes]:
    """The archive's files by name. The names are fixed."""
    return {
        f"{name}.json": msgspec.json.format(msgspec.json.encode(redaction.value(part)), indent=1) + b"\n"
        for name, part in asdict(evidence).items()
    }


def write(path: Path, files: Mapping[str, bytes]) -> None:
    """Write the archive, which must not exist yet. Raises OutputError."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as out, tarfile.open(fileobj=out, mode="w:gz") as archive:
            for name, content in files.items():
                member = tarfile.TarInfo(f"{HEAD}/{name}")
                member.size, member.mode = len(content), 0o600
                archive.addfile(member, io.BytesIO(content))
    except OSError as error:
        raise OutputError(f"can't write {path}: {error.strerror}", hint="name another file: --bundle FILE") from error
