"""Key-value engines, and the contract that they keep. They know no ban."""
