"""What tests share: servers, lines, a simulated jail."""
