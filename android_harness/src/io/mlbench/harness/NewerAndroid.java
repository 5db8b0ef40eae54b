package io.mlbench.harness;

import android.annotation.TargetApi;
import android.content.Context;
import android.os.Build;
import android.os.PowerManager;

/** The only calls above API level 24; each caller checks the level first. */
final class NewerAndroid {
  private NewerAndroid() {}

  /** 0 (none) to 6 (shutdown). */
  @TargetApi(29)
  static int thermalStatus(Context context) {
    return ((PowerManager) context.getSystemService(Context.POWER_SERVICE)).getCurrentThermalStatus();
  }

  @TargetApi(31)
  static String soc() {
    return Build.SOC_MANUFACTURER + " " + Build.SOC_MODEL;
  }
}
