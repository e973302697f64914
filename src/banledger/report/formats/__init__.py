"""How answers look: one module a format."""
