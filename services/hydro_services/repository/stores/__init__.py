"""Stores of objects and registries of models as sources: polled, and served from copies."""
