"""Findings: where layers disagree, and which addresses nobody owns."""
