"""What managers that share a mesh by Consul tell each other."""
