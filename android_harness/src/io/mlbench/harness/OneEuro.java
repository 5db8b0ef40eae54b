package io.mlbench.harness;

import org.json.JSONException;
import org.json.JSONObject;

/** The One Euro filter (Casiez, Roussel and Vogel 2012): still points do not tremble, fast ones do not lag. */
final class OneEuro {
  private final double cutoff;
  private final double beta;
  private final double speedCutoff;

  private double seconds;
  private double[] values;
  private double[] speeds;

  OneEuro(JSONObject told) throws JSONException {
    cutoff = told.getDouble("cutoff");
    beta = told.getDouble("beta");
    speedCutoff = told.getDouble("speed_cutoff");
  }

  /** Values at a time, smoothed; times that do not rise are taken for 1 ms later. */
  double[] smooth(double[] now, double at) {
    double[] smoothed = now.clone();
    if (values == null) {
      speeds = new double[now.length];
    } else {
      double step = Math.max(at - seconds, 1e-3);
      for (int i = 0; i < now.length; i++) {
        double speed = (now[i] - values[i]) / step;
        speeds[i] += share(speedCutoff, step) * (speed - speeds[i]);
        smoothed[i] = values[i] + share(cutoff + beta * Math.abs(speeds[i]), step) * (now[i] - values[i]);
      }
    }
    seconds = at;
    values = smoothed;
    return smoothed;
  }

  /** How much of a new value an exponential filter of this cut-off frequency, Hz, takes after a step, s. */
  private static double share(double cutoff, double step) {
    return 1 / (1 + 1 / (2 * Math.PI * cutoff * step));
  }
}
