package io.mlbench.harness;

import android.app.Activity;
import android.app.Application;
import android.content.Context;
import android.content.Intent;
import android.os.Bundle;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** Brings the opaque screen to the front: only the top app gets the fast cores. */
final class Foreground implements Application.ActivityLifecycleCallbacks {
  private final CountDownLatch resumed = new CountDownLatch(1);

  /** Whether the screen is in front within the given time. */
  boolean take(Context context, long millis) throws InterruptedException {
    Application application = (Application) context.getApplicationContext();
    application.registerActivityLifecycleCallbacks(this);
    try {
      context.startActivity(new Intent(context, BenchActivity.class).addFlags(Intent.FLAG_ACTIVITY_NEW_TASK));
      return resumed.await(millis, TimeUnit.MILLISECONDS);
    } finally {
      application.unregisterActivityLifecycleCallbacks(this);
    }
  }

  @Override
  public void onActivityResumed(Activity activity) {
    if (activity instanceof BenchActivity) {
      resumed.countDown();
    }
  }

  @Override
  public void onActivityCreated(Activity activity, Bundle state) {}

  @Override
  public void onActivityStarted(Activity activity) {}

  @Override
  public void onActivityPaused(Activity activity) {}

  @Override
  public void onActivityStopped(Activity activity) {}

  @Override
  public void onActivitySaveInstanceState(Activity activity, Bundle state) {}

  @Override
  public void onActivityDestroyed(Activity activity) {}
}
