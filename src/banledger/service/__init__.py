"""The service: the recorder, its wiring, systemd."""
