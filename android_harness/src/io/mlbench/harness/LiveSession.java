package io.mlbench.harness;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import org.opencv.core.CvType;
import org.opencv.core.Mat;

/** One network at work on the live frames; used by one thread at a time. */
final class LiveSession implements Closeable {
  /** Side of the crop in whose pixels the points come. */
  final int side;

  private final Network network;
  private final FramePipeline pipeline;
  private final FrameRate rate = new FrameRate();
  private Mat grey = new Mat();
  private boolean closed;

  LiveSession(File model, File cascade, int threads) throws IOException {
    network = Network.load(model, threads, true);
    try {
      PointNetwork points = new PointNetwork(network, null);
      side = points.side;
      pipeline = new FramePipeline(new FaceDetector(cascade), points);
    } catch (IOException | RuntimeException e) {
      network.close();
      throw e;
    }
  }

  /** The face of a frame, or null after `close`. */
  synchronized FramePipeline.Result process(GreyFrame frame) {
    if (closed) {
      return null;
    }
    if (grey.cols() != frame.width || grey.rows() != frame.height) {
      grey.release();
      grey = new Mat(frame.height, frame.width, CvType.CV_8UC1);
    }
    grey.put(0, 0, frame.pixels);
    return pipeline.process(grey);
  }

  synchronized String line(FramePipeline.Result found) {
    return rate.after(found, System.nanoTime());
  }

  @Override
  public synchronized void close() {
    closed = true;
    grey.release();
    network.close();
  }
}
