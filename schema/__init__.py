"""Records, SQL migrations and the store: what every other room builds on."""
