"""The spool: events, the reader, the writer."""
