"""Brings resources to Envoys: the aggregated discovery service."""
