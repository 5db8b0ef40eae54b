"""Built-in reports: pure functions of records."""
