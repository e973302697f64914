"""Import bans of other programs through the spool: one file per source."""
