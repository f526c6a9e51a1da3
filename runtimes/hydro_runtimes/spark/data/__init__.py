"""Rows on their way through stages: batches, their schema, and columns as Spark reads them."""
