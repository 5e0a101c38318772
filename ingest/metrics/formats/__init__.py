"""From the bytes of expositions and of Prometheus' answers to samples."""
