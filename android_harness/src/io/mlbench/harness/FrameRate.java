package io.mlbench.harness;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Locale;

/** Frames per second and milliseconds of each part, over the last frames that it took part in. */
final class FrameRate {
  /** Two searches of the whole frame are in it, by the usual rules. */
  private static final int LAST = 30;

  private final Deque<Long> camera = new ArrayDeque<>();
  private final Deque<Long> detector = new ArrayDeque<>();
  private final Deque<Long> network = new ArrayDeque<>();
  private final Deque<Long> pipeline = new ArrayDeque<>();
  private long previousNanos;

  /** Takes one frame in, and says what the screen shows: a line for each part. */
  String after(FramePipeline.Result found, long nowNanos) {
    take(camera, previousNanos == 0 ? 0 : nowNanos - previousNanos);
    previousNanos = nowNanos;
    take(detector, found.detectorNanos);
    take(network, found.networkNanos);
    take(pipeline, found.pipelineNanos);
    return line("shown", camera) + line("\ndetector", detector) + line("\nnetwork", network)
        + line("\npipeline", pipeline);
  }

  private static void take(Deque<Long> part, long nanos) {
    if (nanos > 0) {
      part.add(nanos);
    }
    if (part.size() > LAST) {
      part.remove();
    }
  }

  /** Empty where the part has not been at work yet. */
  private static String line(String name, Deque<Long> part) {
    double sum = 0;
    for (long nanos : part) {
      sum += nanos;
    }
    double millis = sum / 1e6 / part.size();
    return part.isEmpty() ? "" : String.format(Locale.ROOT, "%s %.1f FPS (%.2f ms)", name, 1000 / millis, millis);
  }
}
