package io.mlbench.harness;

import java.util.Locale;

/** Frames a second and milliseconds, smoothed over about ten frames so that they can be read. */
final class FrameRate {
  private static final double KEEP = 0.9;

  private double intervalMillis;
  private double detectorMillis;
  private double networkMillis;
  private long previousNanos;

  /** Takes one frame in, and says what the screen shows. */
  String after(FramePipeline.Result found, long nowNanos) {
    if (previousNanos != 0) {
      intervalMillis = smooth(intervalMillis, (nowNanos - previousNanos) / 1e6);
    }
    previousNanos = nowNanos;
    detectorMillis = smooth(detectorMillis, found.detectorNanos / 1e6);
    if (found.box != null) {
      networkMillis = smooth(networkMillis, (found.bothNanos - found.detectorNanos) / 1e6);
    }
    double fps = intervalMillis > 0 ? 1000 / intervalMillis : 0;
    return String.format(Locale.ROOT, "%.1f FPS   detector %.1f ms   network %.1f ms", fps, detectorMillis,
        networkMillis);
  }

  private static double smooth(double before, double now) {
    return before == 0 ? now : KEEP * before + (1 - KEEP) * now;
  }
}
