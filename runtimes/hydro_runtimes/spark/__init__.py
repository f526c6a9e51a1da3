"""Saved Spark ML pipelines, evaluated without Spark: numpy over the rows of a batch."""
