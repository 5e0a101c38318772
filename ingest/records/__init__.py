"""Records that collectors write themselves: observations and identities, as NDJSON or Arrow."""
