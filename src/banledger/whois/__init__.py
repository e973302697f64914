"""Whois in the background: queue, worker, registries, cache by CIDR."""
