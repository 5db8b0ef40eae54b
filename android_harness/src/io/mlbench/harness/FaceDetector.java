package io.mlbench.harness;

import java.io.File;
import java.io.IOException;
import org.opencv.core.Mat;
import org.opencv.core.MatOfRect;
import org.opencv.core.Rect;
import org.opencv.core.Size;
import org.opencv.objdetect.CascadeClassifier;

/** Haar cascade with the settings of the host's measurement; the largest face wins. */
final class FaceDetector {
  private static final double SCALE_FACTOR = 1.3;
  private static final int MIN_NEIGHBOURS = 5;
  private static final Size MIN_FACE = new Size(80, 80);

  private final CascadeClassifier cascade;

  FaceDetector(File cascadeFile) throws IOException {
    cascade = new CascadeClassifier(cascadeFile.getPath());
    if (cascade.empty()) {
      throw new IOException(cascadeFile.getName() + " is not a cascade that OpenCV reads");
    }
  }

  /** The largest face of a grey frame, the first of equals, or null. */
  Rect largestFace(Mat grey) {
    MatOfRect found = new MatOfRect();
    cascade.detectMultiScale(grey, found, SCALE_FACTOR, MIN_NEIGHBOURS, 0, MIN_FACE, new Size());
    Rect largest = null;
    for (Rect face : found.toArray()) {
      if (largest == null || face.area() > largest.area()) {
        largest = face;
      }
    }
    found.release();
    return largest;
  }
}
