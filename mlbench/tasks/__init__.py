"""Built-in tasks for data sets of any kind."""
