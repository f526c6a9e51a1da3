"""The processes of the mesh: manager, repository, runtime, and the command line."""
