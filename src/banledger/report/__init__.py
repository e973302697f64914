"""Reports: queries of the ledger, their answers, and output formats."""
