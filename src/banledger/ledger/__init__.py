"""The ledger: the keys of a ban, how records merge, and how they are read."""
