"""Rows in columns, compressed, and questions answered from them. Pure: no store."""
