"""The demo's machinery: a real log through a real fail2ban into a ledger. Its output is in `cli.demo`.

demo/auth.log.gz ──► authlog.moved ──► replay.play ──► spool ──► the recorder ──► ledger
                                            │
                              directory.claimed, signals.postponed:
                                 touches nothing outside, leaves nothing behind
"""
