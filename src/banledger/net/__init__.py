"""Addresses and networks as values. Pure."""
