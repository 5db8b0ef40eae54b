package io.mlbench.harness;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.android.OpenCVLoader;
import org.opencv.core.Rect;

/** One run: measures one network as its configuration says, and leaves a result whatever happens. */
final class Benchmark {
  /** Hears how far the run is. */
  interface Listener {
    void progress(String text);
  }

  private final Context context;
  private final Listener listener;

  Benchmark(Context context, Listener listener) {
    this.context = context;
    this.listener = listener;
  }

  /**
   * Measures, and writes result.json below `results`.
   *
   * @return the result; what kept the network from being measured is in it, as `failure`
   * @throws Exception the configuration or the folder is unusable, so that no result can be written
   */
  JSONObject run(File configuration, File results, boolean foreground) throws Exception {
    RunConfig config = RunConfig.read(configuration);
    ResultFolder folder = new ResultFolder(results, config.run);
    JSONObject result = new JSONObject()
        .put("schema", RunConfig.SCHEMA)
        .put("run", config.run)
        .put("foreground", foreground)
        .put("threads", config.threads)
        .put("xnnpack", config.xnnpack)
        .put("file_bytes", config.model.length());
    try {
      measure(config, folder, result);
    } catch (Exception | LinkageError | OutOfMemoryError e) {
      String reason = e.getMessage() == null ? e.toString() : e.getMessage();
      result.put("failure", new JSONObject().put("stage", folder.stage()).put("reason", reason));
    }
    folder.writeResult(result);
    return result;
  }

  private void measure(RunConfig config, ResultFolder folder, JSONObject result) throws Exception {
    enter(folder, "start");
    if (!OpenCVLoader.initLocal()) {
      throw new UnsatisfiedLinkError("OpenCV's library does not load on this device");
    }
    result.put("device", DeviceFacts.fixed()).put("before", DeviceFacts.changing(context));
    enter(folder, "inputs");
    try (Inputs inputs = config.inputs()) {
      JSONObject memory = new JSONObject().put("baseline", Memory.read());
      result.put("memory", memory);
      enter(folder, "load");
      long start = System.nanoTime();
      try (Network network = Network.load(config.model, config.threads, config.xnnpack, inputs.shapes())) {
        result.put("load_ms", (System.nanoTime() - start) / 1e6);
        inputs.fit(network);
        enter(folder, "inference");
        result.put("first_ms", time(network, inputs, 0) / 1e6);
        memory.put("loaded", Memory.read());
        result.put("network", networkLatency(config, network, inputs, result));
        memory.put("after", Memory.read());
        if (config.has("outputs")) {
          result.put("outputs", writeOutputs(folder, network, inputs));
        }
        if (config.has("frames")) {
          enter(folder, "detector");
          measureFrames(config, new PointNetwork(network, inputs.table()), result);
        }
      }
    }
    result.put("after", DeviceFacts.changing(context));
    enter(folder, "done");
  }

  private void enter(ResultFolder folder, String stage) throws IOException {
    folder.enter(stage);
    listener.progress(stage);
  }

  private static long time(Network network, Inputs inputs, int sample) throws IOException {
    inputs.set(network, sample);
    long start = System.nanoTime();
    network.invoke();
    return System.nanoTime() - start;
  }

  private static JSONObject networkLatency(RunConfig config, Network network, Inputs inputs, JSONObject result)
      throws IOException, JSONException {
    WarmUp warmUp = new WarmUp();
    JSONArray warming = new JSONArray();
    for (int i = 0; !warmUp.done(); i++) {
      long nanos = time(network, inputs, i);
      warmUp.add(nanos);
      warming.put(nanos / 1e6);
    }
    result.put("warmup_count", warmUp.count()).put("warmup_ms", warming);
    Samples samples = new Samples();
    for (int i = 0; !samples.enough(config.minCount, config.minSeconds, config.maxSeconds); i++) {
      samples.add(time(network, inputs, i));
    }
    return samples.toJson();
  }

  private JSONArray writeOutputs(ResultFolder folder, Network network, Inputs inputs)
      throws IOException, JSONException {
    try (Outputs outputs = folder.outputs(network)) {
      for (int i = 0; i < inputs.count; i++) {
        inputs.set(network, i);
        network.invoke();
        outputs.add();
        if ((i + 1) % 100 == 0) {
          listener.progress("outputs " + (i + 1) + "/" + inputs.count);
        }
      }
      return outputs.finish();
    }
  }

  private void measureFrames(RunConfig config, PointNetwork network, JSONObject result)
      throws IOException, JSONException {
    try (Frames frames = config.frames()) {
      FramePipeline pipeline = new FramePipeline(new FaceDetector(frames.cascade), network);
      JSONArray boxes = firstPass(pipeline, frames, result);
      Samples detector = new Samples();
      Samples both = new Samples();
      for (int i = 0; !both.enough(config.frameCount, 0, config.maxSeconds); i++) {
        FramePipeline.Result found = pipeline.process(frames.read(i));
        detector.add(found.detectorNanos);
        both.add(found.bothNanos);
        listener.progress("frame " + (i + 1));
      }
      result.put("frames", frames.count())
          .put("boxes", boxes)
          .put("detector", detector.toJson())
          .put("both", both.toJson());
    }
  }

  /** Every frame once: warms up the detector, and counts the faces that it finds. */
  private static JSONArray firstPass(FramePipeline pipeline, Frames frames, JSONObject result)
      throws IOException, JSONException {
    JSONArray boxes = new JSONArray();
    int faces = 0;
    for (int i = 0; i < frames.count(); i++) {
      Rect box = pipeline.process(frames.read(i)).box;
      faces += box == null ? 0 : 1;
      boxes.put(box == null
          ? JSONObject.NULL
          : new JSONArray().put(box.x).put(box.y).put(box.width).put(box.height));
    }
    result.put("faces_found", faces);
    return boxes;
  }
}
