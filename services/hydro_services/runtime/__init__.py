"""The process that hosts models and answers rows: at the middle of chains and at their end."""
