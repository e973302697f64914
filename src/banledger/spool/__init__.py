"""The spool's file format, both ends: events, the reader, the writer."""
