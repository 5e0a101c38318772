"""Flow records of agents: who they belong to, which of two ends counts, and the edges they add up to."""
