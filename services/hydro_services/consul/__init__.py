"""What the parts of the mesh do with Consul: register, watch, keep values. By py-consul.

Imported only where `--registry consul://…` asks for it.
"""
