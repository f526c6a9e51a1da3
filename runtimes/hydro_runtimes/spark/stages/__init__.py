"""One module a family of Spark ML stages."""
