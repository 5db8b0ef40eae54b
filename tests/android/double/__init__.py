"""A device double: what an adb server sees when a phone is connected, down to the wire."""
