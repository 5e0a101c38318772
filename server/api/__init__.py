"""HTTP: routes, problems, OpenAPI. The answers themselves are made in `server/answers`."""
