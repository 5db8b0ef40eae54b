"""Android phones over adb: the build of the harness app, and the runner that measures with it."""
