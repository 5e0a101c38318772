"""Culprits: which services a present degradation most likely comes from.

Each module is one step, and only the first reads: read both windows (`reading.py`), list the symptoms that services and
calls can show (`symptoms.py`), find which of them changed (`effects.py`), rank the services that explain them
(`ranking.py`), and say why in words (`records.py`). `analysis.py` runs the steps.
"""
