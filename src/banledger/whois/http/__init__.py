"""One HTTPS request, with everything bounded."""
