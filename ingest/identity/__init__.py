"""Who owned which address at which instant."""
