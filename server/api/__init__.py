"""HTTP: parameters, answers, problems, routes."""
