"""From a saved model to a pipeline that serves it, and back: what `hydro deploy` does."""
