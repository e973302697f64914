"""Entry point of the command line. `--version` is answered before anything else is imported."""

import sys

from banledger import __version__
from banledger.cli.streams import guard
from banledger.errors import OutputError


def main() -> None:
    """Run the command line and exit with its code."""
    guard()
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.exit(_version())
    from banledger.cli.main import run

    sys.exit(run(sys.argv[1:]))


def _version() -> int:
    try:
        sys.stdout.write(f"banledger {__version__}\n")
        sys.stdout.flush()
    except OutputError as error:
        from banledger.cli.main import tell

        return tell(error)
    return 0


if __name__ == "__main__":
    main()
