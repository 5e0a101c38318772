"""Files of flows: one importer for each format."""
