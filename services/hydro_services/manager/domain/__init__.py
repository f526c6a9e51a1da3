"""What the manager knows and decides, as frozen values and pure functions."""
