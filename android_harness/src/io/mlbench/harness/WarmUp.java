package io.mlbench.harness;

import java.util.Arrays;

/** Decides when timing has settled: two windows in a row whose medians differ by less than 5 %. */
final class WarmUp {
  private static final int WINDOW = 5;
  private static final int MAX_COUNT = 200;
  private static final double MAX_SECONDS = 5;
  private static final double STEADY = 0.05;

  private final long startNanos = System.nanoTime();
  private final double[] window = new double[WINDOW];

  private double previousMedian = -1;
  private boolean steady;
  private int count;

  void add(long nanos) {
    window[count++ % WINDOW] = nanos;
    if (count % WINDOW == 0) {
      double[] sorted = window.clone();
      Arrays.sort(sorted);
      double median = sorted[WINDOW / 2];
      steady = previousMedian > 0 && Math.abs(median / previousMedian - 1) < STEADY;
      previousMedian = median;
    }
  }

  /** Whether to stop warming up: steady, or as good as it gets. */
  boolean done() {
    return steady || count >= MAX_COUNT || (count > 0 && (System.nanoTime() - startNanos) / 1e9 > MAX_SECONDS);
  }

  int count() {
    return count;
  }
}
