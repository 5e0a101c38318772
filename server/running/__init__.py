"""A running server put together: the one place where its parts are wired."""
