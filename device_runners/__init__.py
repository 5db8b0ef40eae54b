"""Built-in device runners: where artifacts are measured."""
