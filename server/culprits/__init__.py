"""Culprits: which services a present degradation most likely comes from.

Each module is one step, pure but for the first: read both windows (`reading.py`), say which symptoms each service and
call can show (`symptoms.py`), which of them changed (`effects.py`), who explains them (`blame.py`), and why, in words
(`words.py`).
"""
