"""The manager: keeps pipelines and endpoints, has models loaded, and tells Envoy."""
