package io.mlbench.harness;

import android.os.Debug;
import java.io.BufferedReader;
import java.io.FileReader;
import java.io.IOException;
import org.json.JSONException;
import org.json.JSONObject;

/** Memory of this process as Android and the kernel count it, in kB. */
final class Memory {
  private Memory() {}

  static JSONObject read() throws JSONException {
    Debug.MemoryInfo info = new Debug.MemoryInfo();
    Debug.getMemoryInfo(info);
    JSONObject memory = new JSONObject().put("pss_kb", info.getTotalPss());
    copy(memory, "/proc/self/status", "VmRSS:", "rss_kb");
    copy(memory, "/proc/self/status", "VmHWM:", "peak_kb");
    copy(memory, "/proc/self/smaps_rollup", "Pss:", "rollup_pss_kb");
    return memory;
  }

  /** Not every kernel has every file; what cannot be read is left out. */
  private static void copy(JSONObject memory, String file, String label, String key) throws JSONException {
    try (BufferedReader reader = new BufferedReader(new FileReader(file))) {
      for (String line = reader.readLine(); line != null; line = reader.readLine()) {
        if (line.startsWith(label)) {
          memory.put(key, Long.parseLong(line.substring(label.length()).replace("kB", "").trim()));
          return;
        }
      }
    } catch (IOException | NumberFormatException e) {
      memory.put(key + "_error", String.valueOf(e.getMessage()));
    }
  }
}
