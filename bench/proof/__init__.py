"""Parts of `bench/ledger.py`; some of them are of use to other benches. Nothing here is a bench by itself."""
