"""The process of an Envoy, and its static configuration."""
