"""What an import did, in words. Pure."""

from banledger.ledger.import_count import ImportCount
from banledger.report.formats.escape import many


def counts_text(bans: int, count: ImportCount) -> str:
    """Return how many of the bans of an import were new, as `4,213 bans: 4,102 new, 96 known, 15 amended`."""
    lines = count.lines
    aside = f", {lines.aside:,} set aside" if lines.aside else ""
    about = "" if count.exact else " (approximate: the recorder was interrupted meanwhile)"
    return f"{many(bans, 'ban')}: {lines.new:,} new, {lines.known:,} known, {lines.amended:,} amended{aside}{about}"
