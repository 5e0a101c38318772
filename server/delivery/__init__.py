"""Deliver alerts to receivers, and changes of the graph to clients of the stream."""
