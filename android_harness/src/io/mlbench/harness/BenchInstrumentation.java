package io.mlbench.harness;

import android.app.Activity;
import android.app.Instrumentation;
import android.content.Context;
import android.os.Bundle;
import java.io.File;
import org.json.JSONObject;

/**
 * Benchmark mode, blocking:
 * {@code am instrument -w -r -e config /data/local/tmp/mlbench/RUN/config.json
 * io.mlbench.harness/.BenchInstrumentation}. Ends with code -1 where a result was written.
 */
public class BenchInstrumentation extends Instrumentation {
  private static final long FOREGROUND_MILLIS = 10_000;

  private Bundle arguments;

  @Override
  public void onCreate(Bundle given) {
    super.onCreate(given);
    arguments = given == null ? new Bundle() : given;
    start();
  }

  @Override
  public void onStart() {
    super.onStart();
    Bundle summary = new Bundle();
    int code = Activity.RESULT_CANCELED;
    try {
      JSONObject result = run(getTargetContext());
      summary.putString("outcome", result.has("failure") ? "failure" : "measured");
      code = Activity.RESULT_OK;
    } catch (Exception e) {
      summary.putString("error", e.toString());
    }
    finish(code, summary);
  }

  private JSONObject run(Context context) throws Exception {
    String config = arguments.getString("config");
    if (config == null) {
      throw new IllegalArgumentException("-e config FILE is missing");
    }
    long patience = Long.parseLong(arguments.getString("foreground_ms", String.valueOf(FOREGROUND_MILLIS)));
    boolean foreground = new Foreground().take(context, patience);
    Benchmark benchmark = new Benchmark(context, this::report);
    return benchmark.run(new File(config), context.getExternalFilesDir(null), foreground);
  }

  private void report(String text) {
    Bundle status = new Bundle();
    status.putString("progress", text);
    sendStatus(1, status);
  }
}
