"""Spark's format on disk."""
