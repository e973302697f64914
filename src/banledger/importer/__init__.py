"""Bans from other records of the past, by way of the spool: one file a source."""
