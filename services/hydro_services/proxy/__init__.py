"""Envoy as a part of the mesh: the gateway, a sidecar, and their certificates."""
