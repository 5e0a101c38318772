"""What happened to dependencies: found as data arrives, stored once, shown beside the changes people report."""
