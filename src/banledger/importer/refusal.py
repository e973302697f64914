"""Why a source, or a part of it, is not imported."""


class SourceRefused(Exception):
    """A source that can't be imported, or not beyond some place. The message is the reason, to follow its name."""
