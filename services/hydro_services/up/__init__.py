"""The whole mesh on one machine: its parts, kept alive, and stopped in order."""
