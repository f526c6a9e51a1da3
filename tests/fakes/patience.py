"""How long tests wait for what has to come: no measure of anything, since machines may be slow."""

PATIENCE_S = 90.0
