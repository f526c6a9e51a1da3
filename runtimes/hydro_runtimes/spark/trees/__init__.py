"""The nodes of decision trees, and the walks of rows down them."""
