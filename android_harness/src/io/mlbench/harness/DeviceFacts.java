package io.mlbench.harness;

import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.Build;
import android.system.Os;
import android.system.OsConstants;
import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import java.util.Arrays;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.Core;
import org.tensorflow.lite.TensorFlowLite;

/** What a reader of the figures must know about the phone. */
final class DeviceFacts {
  private static final String CORES = "/sys/devices/system/cpu/cpu";

  private DeviceFacts() {}

  /** Facts that do not change while measuring. */
  static JSONObject fixed() throws JSONException {
    int cores = Runtime.getRuntime().availableProcessors();
    JSONArray list = new JSONArray();
    for (int core = 0; core < cores; core++) {
      list.put(new JSONObject()
          .put("max_khz", line(CORES + core + "/cpufreq/cpuinfo_max_freq"))
          .put("governor", line(CORES + core + "/cpufreq/scaling_governor")));
    }
    return new JSONObject()
        .put("manufacturer", Build.MANUFACTURER)
        .put("model", Build.MODEL)
        .put("android", Build.VERSION.RELEASE)
        .put("sdk", Build.VERSION.SDK_INT)
        .put("soc", Build.VERSION.SDK_INT >= 31 ? NewerAndroid.soc() : Build.HARDWARE)
        .put("fingerprint", Build.FINGERPRINT)
        .put("abis", new JSONArray(Arrays.asList(Build.SUPPORTED_ABIS)))
        .put("page_bytes", Os.sysconf(OsConstants._SC_PAGESIZE))
        .put("cores", list)
        .put("tflite", TensorFlowLite.runtimeVersion())
        .put("opencv", Core.VERSION);
  }

  /** Facts that measuring changes: heat and charge. */
  static JSONObject changing(Context context) throws JSONException {
    JSONObject facts = new JSONObject();
    Intent battery = context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
    if (battery != null) {
      facts.put("battery_level", battery.getIntExtra(BatteryManager.EXTRA_LEVEL, -1))
          .put("battery_tenths_celsius", battery.getIntExtra(BatteryManager.EXTRA_TEMPERATURE, -1))
          .put("plugged", battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, -1));
    }
    if (Build.VERSION.SDK_INT >= 29) {
      facts.put("thermal_status", NewerAndroid.thermalStatus(context));
    }
    return facts;
  }

  private static String line(String file) {
    try (BufferedReader reader = new BufferedReader(new FileReader(file))) {
      String line = reader.readLine();
      return line == null ? "" : line.trim();
    } catch (IOException e) {
      return "";
    }
  }
}
