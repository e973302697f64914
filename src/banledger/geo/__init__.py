"""Countries of addresses, from data on this machine."""
