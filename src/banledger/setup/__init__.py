"""Put banledger on a machine, and take it away again: find, plan, change, undo."""
