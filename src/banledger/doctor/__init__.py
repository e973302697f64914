"""Find out whether bans reach the ledger, and say how to put right what is wrong. Changes nothing."""
