"""The command line's front door. `--version` is answered before anything is imported."""

import sys

from banledger import __version__


def main() -> None:
    """Run the command line and exit with its code."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"banledger {__version__}\n")
        return
    from banledger.cli import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
