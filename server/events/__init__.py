"""Events: what happened to dependencies, stored once, shown with the changes that people report."""
