"""Who is told of alerts, and how: Alertmanager, webhooks, Grafana, a stream of events."""
