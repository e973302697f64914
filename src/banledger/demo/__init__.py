"""The demo without its words: a real log through a real fail2ban into a ledger.

demo/auth.log.gz ──► authlog.moved ──► replay.play ──► spool ──► the recorder ──► ledger
                                            │
                                 place.claimed, signals.postponed:
                                 nothing outside, nothing left behind
"""
