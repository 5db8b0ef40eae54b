package io.mlbench.harness;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.StringWriter;
import org.json.JSONObject;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

/**
 * Runs the app's own classes on a desktop JVM for the tests: one JSON request a line in, and for each some
 * lines that start with "@@ " out, the last of them with "done". One virtual machine serves all requests.
 */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 34, manifest = Config.NONE, qualifiers = "w960dp-h540dp-land")
@GraphicsMode(GraphicsMode.Mode.NATIVE)
public final class HarnessServer {
  @Test
  public void serve() throws Exception {
    BufferedReader requests = new BufferedReader(new InputStreamReader(System.in, "UTF-8"));
    say(new JSONObject().put("ready", true));
    for (String line = requests.readLine(); line != null; line = requests.readLine()) {
      JSONObject request = new JSONObject(line);
      JSONObject done = new JSONObject();
      try {
        answer(request);
        done.put("done", "ok");
      } catch (Throwable failure) {
        StringWriter trace = new StringWriter();
        failure.printStackTrace(new PrintWriter(trace));
        done.put("done", trace.toString());
      }
      say(done);
    }
  }

  private static void answer(JSONObject request) throws Exception {
    String what = request.getString("do");
    switch (what) {
      case "instrument":
        BenchmarkCases.instrument(request);
        break;
      case "activity":
        BenchmarkCases.activity(request);
        break;
      default:
        LiveCases.run(what, request);
    }
  }

  static synchronized void say(JSONObject line) {
    System.out.println("@@ " + line);
    System.out.flush();
  }
}
