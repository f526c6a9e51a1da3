"""Spark SQL over the rows of a batch: parsed, typed and evaluated here."""
