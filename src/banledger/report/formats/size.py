"""Sizes in words."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def shown_bytes(size: float) -> str:
    """A size in powers of a thousand: `512 bytes`, `3.4 MB`."""
    for unit in _UNITS[:-1]:
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} {_UNITS[-1]}"
