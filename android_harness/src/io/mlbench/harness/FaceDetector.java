package io.mlbench.harness;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.Mat;
import org.opencv.core.MatOfRect;
import org.opencv.core.Rect;
import org.opencv.core.Size;
import org.opencv.objdetect.CascadeClassifier;

/** Haar cascade with the settings that the host tells. */
final class FaceDetector {
  private final CascadeClassifier cascade;
  private final double scaleFactor;
  private final int neighbours;
  private final Size smallest;

  FaceDetector(File cascadeFile, JSONObject told) throws IOException, JSONException {
    scaleFactor = told.getDouble("scale_factor");
    neighbours = told.getInt("neighbours");
    smallest = new Size(told.getInt("min_size"), told.getInt("min_size"));
    cascade = new CascadeClassifier(cascadeFile.getPath());
    if (cascade.empty()) {
      throw new IOException(cascadeFile.getName() + " is not a cascade that OpenCV reads");
    }
  }

  /** The faces of a grey frame, the largest first. */
  List<Box> detect(Mat grey) {
    MatOfRect found = new MatOfRect();
    cascade.detectMultiScale(grey, found, scaleFactor, neighbours, 0, smallest, new Size());
    List<Box> boxes = new ArrayList<>();
    for (Rect face : found.toArray()) {
      boxes.add(new Box(face.x, face.y, face.width, face.height));
    }
    found.release();
    boxes.sort(Box.LARGEST_FIRST);
    return boxes;
  }
}
