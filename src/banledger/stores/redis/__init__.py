"""The engine over Redis or Valkey."""
