package io.mlbench.harness;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.Core;
import org.opencv.core.Mat;
import org.opencv.core.Size;
import org.opencv.imgproc.Imgproc;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Tensor;

/**
 * A network that goes from one grey square to points and, where the host tells so, to the chance that the square shows
 * a face: what frames need, and they alone.
 */
final class FaceNetwork {
  /** Whether it answers the chance of a face. */
  final boolean tellsPresence;

  private final Network network;
  private final ByteTable table;
  private final byte[] pixels;
  private final int side; // of the square, px
  private final double margin; // sides of what is cut, in sides of the face's box
  private final int pointsOutput;
  private final int presenceOutput;
  private final double slope;
  private final double offset;
  private final double threshold;

  /** As the host tells, with a table of what grey levels are to the network; null: they become 0..1. */
  FaceNetwork(Network network, ByteTable table, JSONObject told) throws IOException, JSONException {
    int[] shape = network.inputTensor(0).shape();
    boolean square = shape.length == 4 && shape[0] == 1 && shape[1] == shape[2] && shape[3] == 1;
    JSONObject presence = told.optJSONObject("presence");
    margin = told.getDouble("margin");
    tellsPresence = presence != null;
    pointsOutput = told.getInt("points");
    presenceOutput = tellsPresence ? presence.getInt("output") : pointsOutput;
    slope = tellsPresence ? presence.getDouble("presence_slope") : 0;
    offset = tellsPresence ? presence.getDouble("presence_offset") : 0;
    threshold = tellsPresence ? presence.getDouble("presence_threshold") : 0;
    boolean there = Math.max(pointsOutput, presenceOutput) < network.outputCount() && network.inputCount() == 1;
    if (!square || !there || network.outputTensor(pointsOutput).numElements() % 2 != 0) {
      throw new IOException("the network does not go from a grey square to points");
    }
    requireReal(network.outputTensor(pointsOutput));
    requireReal(network.outputTensor(presenceOutput));
    this.network = network;
    this.table = table == null ? grey(network.inputTensor(0)) : table;
    side = shape[1];
    pixels = new byte[side * side];
  }

  /** What the network sees in a box, which meets the frame; shrinking averages areas where `averaged`. */
  Look look(Mat grey, Box box, boolean averaged) {
    Box wide = box.scaled(margin);
    cut(grey, wide, averaged);
    table.encode(pixels, network.input(0));
    network.invoke();
    double[] points = real(pointsOutput);
    for (int i = 0; i < points.length; i += 2) {
      points[i] = (points[i] + 0.5) * wide.width / side + wide.left - 0.5; // whole coordinates are pixel centres
      points[i + 1] = (points[i + 1] + 0.5) * wide.height / side + wide.top - 0.5;
    }
    if (!tellsPresence) {
      return new Look(points, Look.UNTOLD, true);
    }
    double chance = 1 / (1 + Math.exp(-(slope * real(presenceOutput)[0] + offset)));
    return new Look(points, chance, (float) chance >= (float) threshold);
  }

  /** Cuts a box into `pixels`; what lies outside the frame repeats its border. */
  private void cut(Mat grey, Box box, boolean averaged) {
    int right = box.left + box.width;
    int bottom = box.top + box.height;
    Mat part = grey.submat(Math.max(box.top, 0), Math.min(bottom, grey.rows()), Math.max(box.left, 0),
        Math.min(right, grey.cols()));
    int above = Math.max(0, -box.top);
    int below = Math.max(0, bottom - grey.rows());
    int before = Math.max(0, -box.left);
    int behind = Math.max(0, right - grey.cols());
    if (above + below + before + behind > 0) {
      Mat bordered = new Mat();
      Core.copyMakeBorder(
          part, bordered, above, below, before, behind, Core.BORDER_REPLICATE | Core.BORDER_ISOLATED);
      part.release();
      part = bordered;
    }
    boolean shrinks = Math.min(box.width, box.height) >= side;
    Mat square = new Mat();
    Imgproc.resize(part, square, new Size(side, side), 0, 0,
        averaged && shrinks ? Imgproc.INTER_AREA : Imgproc.INTER_LINEAR);
    square.get(0, 0, pixels);
    square.release();
    part.release();
  }

  /** The numbers of an output. */
  private double[] real(int output) {
    Tensor tensor = network.outputTensor(output);
    ByteBuffer given = network.output(output);
    Tensor.QuantizationParams steps = tensor.quantizationParams();
    double[] values = new double[tensor.numElements()];
    for (int i = 0; i < values.length; i++) {
      values[i] = tensor.dataType() == DataType.FLOAT32
          ? given.getFloat()
          : steps.getScale() * (code(given, tensor.dataType()) - steps.getZeroPoint());
    }
    return values;
  }

  private static int code(ByteBuffer given, DataType type) {
    if (type == DataType.INT16) {
      return given.getShort();
    }
    byte value = given.get();
    return type == DataType.INT8 ? value : value & 255;
  }

  /** Grey levels as 0..1, quantised where the network takes codes: rounded half to even, as the host does. */
  private static ByteTable grey(Tensor input) throws IOException {
    requireReal(input);
    Tensor.QuantizationParams steps = input.quantizationParams();
    DataType type = input.dataType();
    int lowest = type == DataType.UINT8 ? 0 : -(1 << (8 * type.byteSize() - 1));
    long highest = lowest + (1L << (8 * type.byteSize())) - 1;
    ByteBuffer table = ByteBuffer.allocate(256 * type.byteSize()).order(ByteOrder.nativeOrder());
    for (int level = 0; level < 256; level++) {
      float value = level / 255f;
      long code = (long) Math.rint(value / steps.getScale()) + steps.getZeroPoint();
      code = Math.max(lowest, Math.min(highest, code));
      if (type == DataType.FLOAT32) {
        table.putFloat(value);
      } else if (type == DataType.INT16) {
        table.putShort((short) code);
      } else {
        table.put((byte) code);
      }
    }
    return new ByteTable(table.array(), 1, input);
  }

  private static void requireReal(Tensor tensor) throws IOException {
    DataType type = tensor.dataType();
    boolean codes = type == DataType.INT8 || type == DataType.UINT8 || type == DataType.INT16;
    if (type != DataType.FLOAT32 && !(codes && tensor.quantizationParams().getScale() > 0)) {
      throw new IOException("its " + tensor.name() + " is " + type + (codes ? " without a scale" : "")
          + ": squares and answers are float32, or int8, uint8 or int16 with a scale");
    }
  }
}
