package io.mlbench.harness;

import java.io.File;
import java.io.IOException;
import java.util.Collections;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.Mat;

/** The faces of one grey frame: detected anew, or followed from the frame before. Benchmark and live mode share it. */
final class FramePipeline {
  /** What one frame gave, and the time of each part; 0 where it took no part. */
  static final class Result {
    final List<Face> faces;
    final long detectorNanos;
    /** Of cropping and the network, for all faces. */
    final long networkNanos;
    /** Of detector, network and tracking together. */
    final long pipelineNanos;

    Result(List<Face> faces, long detectorNanos, long networkNanos, long pipelineNanos) {
      this.faces = faces;
      this.detectorNanos = detectorNanos;
      this.networkNanos = networkNanos;
      this.pipelineNanos = pipelineNanos;
    }
  }

  private final FaceDetector detector;
  private final FaceNetwork network;
  private final Tracker tracker;
  private long detectorNanos;
  private long networkNanos;

  /** As the host tells, with its cascade in `cascade`; nothing is followed where it tells no rules. */
  FramePipeline(JSONObject told, File cascade, FaceNetwork network) throws IOException, JSONException {
    detector = new FaceDetector(cascade, told.getJSONObject("detector"));
    this.network = network;
    JSONObject rules = told.optJSONObject("tracking");
    tracker = rules == null ? null : new Tracker(this::detect, (grey, box) -> look(grey, box, true), rules);
  }

  /** The paper's application: the largest face of a frame, detected anew. */
  Result detected(Mat grey) {
    long start = start();
    List<Box> boxes = detect(grey);
    if (boxes.isEmpty()) {
      return result(Collections.emptyList(), start);
    }
    Look seen = look(grey, boxes.get(0), false);
    return result(Collections.singletonList(new Face(1, boxes.get(0), seen.points, seen.presence)), start);
  }

  /** The faces of the next frame of a video, which was taken at a time. */
  Result followed(Mat grey, double seconds) {
    long start = start();
    return result(tracker.step(grey, seconds), start);
  }

  private long start() {
    detectorNanos = 0;
    networkNanos = 0;
    return System.nanoTime();
  }

  private Result result(List<Face> faces, long start) {
    return new Result(faces, detectorNanos, networkNanos, System.nanoTime() - start);
  }

  private List<Box> detect(Mat grey) {
    long start = System.nanoTime();
    List<Box> boxes = detector.detect(grey);
    detectorNanos += System.nanoTime() - start;
    return boxes;
  }

  private Look look(Mat grey, Box box, boolean averaged) {
    long start = System.nanoTime();
    Look seen = network.look(grey, box, averaged);
    networkNanos += System.nanoTime() - start;
    return seen;
  }
}
