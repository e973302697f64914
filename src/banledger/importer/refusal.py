"""Why a source, or a part of it, is not imported."""


def unreadable(error: OSError) -> str:
    """Return the reason to refuse a file that can't be read."""
    return f"it can't be read: {error.strerror}"


class SourceRefused(Exception):
    """A source that can't be imported, or not beyond some place. The message is the reason, to follow its name."""
