"""RDAP: IANA's bootstrap, the client, the parser (RFC 7480 to 9224)."""
