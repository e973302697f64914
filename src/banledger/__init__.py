"""banledger: the record of every ban fail2ban makes, in a key-value ledger."""

__version__ = "0.1.0"
