package io.mlbench.harness;

import org.opencv.core.Mat;
import org.opencv.core.Rect;
import org.opencv.core.Size;
import org.opencv.imgproc.Imgproc;

/** The paper's application on one grey frame: detect, crop, find the points. Benchmark and live mode share it. */
final class FramePipeline {
  /** What one frame gave; box and points are null where no face was found. */
  static final class Result {
    final Rect box;
    final float[] points;
    final long detectorNanos;
    final long bothNanos;

    Result(Rect box, float[] points, long detectorNanos, long bothNanos) {
      this.box = box;
      this.points = points;
      this.detectorNanos = detectorNanos;
      this.bothNanos = bothNanos;
    }
  }

  private final FaceDetector detector;
  private final PointNetwork network;
  private final byte[] pixels;

  FramePipeline(FaceDetector detector, PointNetwork network) {
    this.detector = detector;
    this.network = network;
    pixels = new byte[network.side * network.side];
  }

  /** Box in frame pixels, points in pixels of the crop. */
  Result process(Mat grey) {
    long start = System.nanoTime();
    Rect box = detector.largestFace(grey);
    long detected = System.nanoTime();
    float[] points = box == null ? null : network.run(crop(grey, box));
    return new Result(box, points, detected - start, System.nanoTime() - start);
  }

  private byte[] crop(Mat grey, Rect box) {
    Mat face = grey.submat(box);
    Mat square = new Mat();
    Imgproc.resize(face, square, new Size(network.side, network.side), 0, 0, Imgproc.INTER_LINEAR);
    square.get(0, 0, pixels);
    square.release();
    face.release();
    return pixels;
  }
}
