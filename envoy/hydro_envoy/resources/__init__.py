"""A mesh as the resources of Envoy. Pure."""
