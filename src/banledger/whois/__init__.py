"""Whois in the background: the queue, the workers, the cache by CIDR."""
