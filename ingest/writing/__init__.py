"""From many threads to durable inserts."""
