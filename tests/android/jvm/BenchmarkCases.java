package io.mlbench.harness;

import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.content.Context;
import android.content.ContextWrapper;
import android.content.Intent;
import android.os.Bundle;
import java.io.File;
import java.util.Iterator;
import org.json.JSONObject;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowLooper;

/** Benchmark mode by both of its doors. */
final class BenchmarkCases {
  private BenchmarkCases() {}

  /** As `am instrument` does: the instrumentation on a thread of its own, the screen on the main thread. */
  static void instrument(JSONObject request) throws Exception {
    Application application = RuntimeEnvironment.getApplication();
    File external = new File(request.getString("external"));
    Recorded instrumentation = new Recorded(new ContextWrapper(application) {
      @Override
      public File getExternalFilesDir(String type) {
        return external;
      }

      @Override
      public Context getApplicationContext() {
        return application;
      }

      @Override
      public void startActivity(Intent intent) {
        application.startActivity(intent);
      }
    });
    instrumentation.onCreate(bundle(request.getJSONObject("arguments")));
    ActivityController<BenchActivity> screen = null;
    while (instrumentation.thread.isAlive()) {
      Intent started = shadowOf(application).getNextStartedActivity();
      if (started != null) {
        screen = Robolectric.buildActivity(BenchActivity.class, started).setup();
      }
      ShadowLooper.idleMainLooper();
      instrumentation.thread.join(5);
    }
    if (screen != null) {
      screen.pause().stop().destroy();
    }
  }

  /** As `am start` does: the screen measures by itself, and goes away. */
  static void activity(JSONObject request) throws Exception {
    Intent intent = new Intent().putExtra("config", request.getString("config"));
    BenchActivity activity = Robolectric.buildActivity(BenchActivity.class, intent).setup().get();
    while (!activity.isFinishing()) {
      Thread.sleep(5);
      ShadowLooper.idleMainLooper();
    }
    HarnessServer.say(new JSONObject().put("external", activity.getExternalFilesDir(null).getPath()));
  }

  private static Bundle bundle(JSONObject arguments) throws Exception {
    Bundle bundle = new Bundle();
    for (Iterator<String> keys = arguments.keys(); keys.hasNext(); ) {
      String key = keys.next();
      bundle.putString(key, arguments.getString(key));
    }
    return bundle;
  }

  /** The app's instrumentation, with what Android would do around it said to the test. */
  private static final class Recorded extends BenchInstrumentation {
    private final Context context;
    private Thread thread;

    Recorded(Context context) {
      this.context = context;
    }

    @Override
    public Context getTargetContext() {
      return context;
    }

    @Override
    public void start() {
      thread = new Thread(this::onStart, "instrumentation");
      thread.start();
    }

    @Override
    public void sendStatus(int code, Bundle status) {
      say("status", code, status);
    }

    @Override
    public void finish(int code, Bundle summary) {
      say("finish", code, summary);
    }

    private static void say(String event, int code, Bundle values) {
      try {
        JSONObject said = new JSONObject();
        for (String key : values.keySet()) {
          said.put(key, values.getString(key));
        }
        HarnessServer.say(new JSONObject().put("event", event).put("code", code).put("values", said));
      } catch (org.json.JSONException e) {
        throw new IllegalStateException(e);
      }
    }
  }
}
