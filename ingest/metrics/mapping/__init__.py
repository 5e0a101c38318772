"""From series of metrics to edges, by configuration."""
