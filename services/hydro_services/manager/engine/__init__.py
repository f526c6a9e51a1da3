"""The task that owns the state, and what changes it: models, runtimes, API keys and the store."""
