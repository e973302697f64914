"""Questions about the ledger, their answers, and how answers look."""
