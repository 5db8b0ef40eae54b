package io.mlbench.harness;

import android.app.Activity;
import android.os.Bundle;
import android.util.Log;
import android.view.WindowManager;
import android.widget.TextView;
import java.io.File;

/**
 * The opaque screen in front while measuring. Started with a configuration, it measures by itself:
 * {@code am start -n io.mlbench.harness/.BenchActivity --es config /data/local/tmp/mlbench/RUN/config.json}.
 */
public final class BenchActivity extends Activity {
  static final String TAG = "mlbench";

  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON
        | WindowManager.LayoutParams.FLAG_SHOW_WHEN_LOCKED
        | WindowManager.LayoutParams.FLAG_TURN_SCREEN_ON);
    TextView text = new TextView(this);
    text.setText("mlbench is measuring. Please leave the phone alone.");
    setContentView(text);
    String config = getIntent().getStringExtra("config");
    if (config != null && state == null) {
      new Thread(() -> measure(new File(config)), "benchmark").start();
    }
  }

  private void measure(File config) {
    try {
      Benchmark benchmark = new Benchmark(getApplicationContext(), text -> Log.i(TAG, text));
      benchmark.run(config, getExternalFilesDir(null), true);
      Log.i(TAG, "finished");
    } catch (Exception e) {
      Log.e(TAG, "no result", e);
    }
    runOnUiThread(this::finish);
  }
}
