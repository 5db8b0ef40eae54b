package io.mlbench.harness;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.CvType;
import org.opencv.core.Mat;

/** One network at work on the live frames, which follows faces; used by one thread at a time. */
final class LiveSession implements Closeable {
  private final Network network;
  private final FaceNetwork faces;
  private final FramePipeline pipeline;
  private final FrameRate rate = new FrameRate();
  private final long start = System.nanoTime();
  private Mat grey = new Mat();
  private boolean closed;

  LiveSession(File model, LiveModels models, int threads) throws IOException, JSONException {
    JSONObject told = models.told(model);
    network = Network.load(model, threads, true);
    try {
      faces = new FaceNetwork(network, null, told.getJSONObject("network"));
      pipeline = new FramePipeline(told, models.cascade(told), faces);
    } catch (IOException | JSONException | RuntimeException e) {
      network.close();
      throw e;
    }
  }

  /** The faces of a frame, or null after `close`. */
  synchronized FramePipeline.Result process(GreyFrame frame) {
    if (closed) {
      return null;
    }
    if (grey.cols() != frame.width || grey.rows() != frame.height) {
      grey.release();
      grey = new Mat(frame.height, frame.width, CvType.CV_8UC1);
    }
    grey.put(0, 0, frame.pixels);
    return pipeline.followed(grey, (System.nanoTime() - start) / 1e9);
  }

  /** What the screen says after a frame. */
  synchronized String text(FramePipeline.Result found) {
    String told = rate.after(found, System.nanoTime());
    return faces.tellsPresence ? told : told + "\nThe model tells no presence: the detector alone refuses.";
  }

  @Override
  public synchronized void close() {
    closed = true;
    grey.release();
    network.close();
  }
}
