"""The service: the recorder, its wiring, and systemd."""
