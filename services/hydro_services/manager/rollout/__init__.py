"""How a change of a pipeline comes into force."""
