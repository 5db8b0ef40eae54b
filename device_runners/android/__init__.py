"""Android: the build of the harness app, and a runner that measures artifacts on phones over adb."""
