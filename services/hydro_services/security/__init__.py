"""Keys, certificates, the token of the mesh, trusted models, and private files."""
