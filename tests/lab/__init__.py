"""Real proxies between real callers and targets, each in a network namespace of its own, with known truth."""
