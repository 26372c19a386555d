"""Several hosts, and what stands in front of them."""
