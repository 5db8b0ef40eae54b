package io.mlbench.harness;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.android.OpenCVLoader;

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
        if (config.has("pipeline")) {
          enter(folder, "detector");
          measurePipeline(config, folder, network, inputs.table(), result);
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

  private void measurePipeline(
      RunConfig config, ResultFolder folder, Network network, ByteTable table, JSONObject result)
      throws IOException, JSONException {
    JSONObject told = config.pipeline();
    File cascade = config.file(told.getJSONObject("detector"), "cascade");
    FaceNetwork faces = new FaceNetwork(network, table, told.getJSONObject("network"));
    FramePipeline pipeline = new FramePipeline(told, cascade, faces);
    try (Frames frames = new Frames(config, told.getJSONObject("frames"))) {
      measureFrames(pipeline, frames, told.getInt("frame_count"), config.maxSeconds, result);
    }
    if (told.has("video")) {
      enter(folder, "tracked");
      try (Frames video = new Frames(config, told.getJSONObject("video"))) {
        measureVideo(pipeline, video, told.getInt("video_count"), config.maxSeconds, result);
      }
    }
  }

  private void measureFrames(
      FramePipeline pipeline, Frames frames, int count, double maxSeconds, JSONObject result)
      throws IOException, JSONException {
    JSONArray boxes = firstPass(pipeline, frames, result);
    Samples detector = new Samples();
    Samples both = new Samples();
    for (int i = 0; !both.enough(count, 0, maxSeconds); i++) {
      FramePipeline.Result found = pipeline.detected(frames.read(i));
      detector.add(found.detectorNanos);
      both.add(found.pipelineNanos);
      listener.progress("frame " + (i + 1));
    }
    result.put("frames", frames.count())
        .put("boxes", boxes)
        .put("detector", detector.toJson())
        .put("both", both.toJson());
  }

  /** Follows what a video shows, to its end and back, so that no frame jumps; the first time to its end warms up. */
  private void measureVideo(FramePipeline pipeline, Frames video, int count, double maxSeconds, JSONObject result)
      throws IOException, JSONException {
    int last = video.count() - 1;
    for (int i = 0; i < last; i++) {
      pipeline.followed(video.read(i), 0);
    }
    Samples tracked = new Samples();
    for (int i = 0; !tracked.enough(count, 0, maxSeconds); i++) {
      int place = Math.abs(last - i % Math.max(1, 2 * last));
      tracked.add(pipeline.followed(video.read(place), 0).pipelineNanos);
      listener.progress("followed frame " + (i + 1));
    }
    result.put("tracked", tracked.toJson());
  }

  /** Every frame once: warms up the detector, and counts the faces that it finds. */
  private static JSONArray firstPass(FramePipeline pipeline, Frames frames, JSONObject result)
      throws IOException, JSONException {
    JSONArray boxes = new JSONArray();
    int faces = 0;
    for (int i = 0; i < frames.count(); i++) {
      List<Face> found = pipeline.detected(frames.read(i)).faces;
      faces += found.size();
      Box box = found.isEmpty() ? null : found.get(0).box;
      boxes.put(box == null
          ? JSONObject.NULL
          : new JSONArray().put(box.left).put(box.top).put(box.width).put(box.height));
    }
    result.put("faces_found", faces);
    return boxes;
  }
}
