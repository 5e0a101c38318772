"""Context: what is known of services beside their calls – owners, tiers, versions – with its history, and changes."""
