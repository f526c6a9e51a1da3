"""What the manager tells Prometheus."""
