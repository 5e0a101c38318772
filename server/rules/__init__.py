"""Rules: conditions on dependencies, evaluated live and over history, and the alerts that they raise."""
