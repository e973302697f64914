"""The ledger: what a ban becomes under its keys, how records merge, and what is read from them."""
