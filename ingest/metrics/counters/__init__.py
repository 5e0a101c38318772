"""From samples of counters and histograms to increases."""
