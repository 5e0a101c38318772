"""The store: connection, migrations, retention."""
