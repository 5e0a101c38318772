"""Where metrics come from: endpoints, Prometheus servers, files."""
