"""Which dependencies appeared, vanished or returned, found as evidence arrives."""
