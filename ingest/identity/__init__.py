"""Who owned which address at which time."""
