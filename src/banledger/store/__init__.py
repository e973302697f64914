"""Where the ledger lives: the contract of engines, the engines, and the ledger over them."""
