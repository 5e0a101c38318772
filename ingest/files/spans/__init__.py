"""Files of spans: one importer for each format."""
