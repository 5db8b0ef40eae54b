package io.mlbench.harness;

import android.os.Process;
import java.util.Arrays;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Latency samples in the order measured, and how much processor time went with them. */
final class Samples {
  private final long startNanos = System.nanoTime();
  private final long startCpuMillis = Process.getElapsedCpuTime();

  private double[] millis = new double[256];
  private int count;

  void add(long nanos) {
    if (count == millis.length) {
      millis = Arrays.copyOf(millis, 2 * count);
    }
    millis[count++] = nanos / 1e6;
  }

  /** Whether there are `minCount` samples over `minSeconds`, or `maxSeconds` are over. */
  boolean enough(int minCount, double minSeconds, double maxSeconds) {
    double seconds = (System.nanoTime() - startNanos) / 1e9;
    return count > 0 && (seconds >= maxSeconds || (count >= minCount && seconds >= minSeconds));
  }

  /** Samples with their summary; milliseconds, to the nearest 10 ns. */
  JSONObject toJson() throws JSONException {
    double wallMillis = (System.nanoTime() - startNanos) / 1e6;
    double[] sorted = Arrays.copyOf(millis, count);
    Arrays.sort(sorted);
    double sum = 0;
    JSONArray samples = new JSONArray();
    for (int i = 0; i < count; i++) {
      sum += millis[i];
      samples.put(Math.rint(millis[i] * 1e5) / 1e5);
    }
    int third = Math.max(1, count / 3);
    return new JSONObject()
        .put("samples_ms", samples)
        .put("p50_ms", percentile(sorted, 0.50))
        .put("p90_ms", percentile(sorted, 0.90))
        .put("p95_ms", percentile(sorted, 0.95))
        .put("p99_ms", percentile(sorted, 0.99))
        .put("mean_ms", sum / count)
        .put("fps", 1000 * count / sum)
        .put("drift", median(count - third, count) / median(0, third))
        .put("cpu_per_wall", (Process.getElapsedCpuTime() - startCpuMillis) / wallMillis);
  }

  private double median(int from, int to) {
    double[] part = Arrays.copyOfRange(millis, from, to);
    Arrays.sort(part);
    return percentile(part, 0.5);
  }

  /** Linear between the neighbours, as numpy's. */
  static double percentile(double[] sorted, double share) {
    double place = (sorted.length - 1) * share;
    int below = (int) place;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  }
}
