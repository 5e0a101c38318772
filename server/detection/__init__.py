"""Detection: which dependencies appeared, vanished or returned, found while evidence arrives."""
