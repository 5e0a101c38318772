"""Context of services: owners, tiers and versions, with their history, and reported changes."""
