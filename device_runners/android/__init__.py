"""Android: the build of the harness app, and a runner that measures artifacts on phones over adb."""

from device_runners.android.runner import AndroidRunner

__all__ = ["AndroidRunner"]
