package io.mlbench.harness;

import org.json.JSONException;
import org.json.JSONObject;

/** From the landmarks of a face to the box to cut: the host's `mlbench.faces.box_map`, with the host's numbers. */
final class BoxMap {
  private final double side;
  private final double x;
  private final double y;

  BoxMap(JSONObject told) throws JSONException {
    side = told.getDouble("side");
    x = told.getDouble("x");
    y = told.getDouble("y");
  }

  /** The box of landmarks, x and y in turn: its size follows their root mean square distance from their mean. */
  Box box(double[] points) {
    int count = points.length / 2;
    double meanX = 0;
    double meanY = 0;
    for (int i = 0; i < count; i++) {
      meanX += points[2 * i] / count;
      meanY += points[2 * i + 1] / count;
    }
    double square = 0;
    for (int i = 0; i < count; i++) {
      square += Math.pow(points[2 * i] - meanX, 2) + Math.pow(points[2 * i + 1] - meanY, 2);
    }
    double size = Math.sqrt(square / count);
    int length = Math.max(1, (int) Math.rint(side * size));
    // Whole coordinates are pixel centres: a box from `left` on begins at left - 1/2.
    return new Box((int) Math.rint(meanX + size * x + 0.5 - length / 2.0),
        (int) Math.rint(meanY + size * y + 0.5 - length / 2.0), length, length);
  }
}
