package io.mlbench.harness;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Tensor;

/** A network that goes from one grey square to points: what the camera's pictures need, and they alone. */
final class PointNetwork {
  /** Of the square that it takes, in pixels. */
  final int side;

  private final Network network;
  private final ByteTable table;

  /** With a table of what grey levels are to the network; null: they become 0..1. */
  PointNetwork(Network network, ByteTable table) throws IOException {
    int[] shape = network.inputTensor(0).shape();
    boolean square = shape.length == 4 && shape[0] == 1 && shape[1] == shape[2] && shape[3] == 1;
    boolean one = network.inputCount() == 1 && network.outputCount() == 1;
    if (!square || !one || network.outputTensor(0).numElements() % 2 != 0) {
      throw new IOException("the network does not go from a grey square to points");
    }
    requireReal(network.outputTensor(0));
    this.network = network;
    this.table = table == null ? grey(network.inputTensor(0)) : table;
    side = shape[1];
  }

  /** The points of a square, x and y in turn. */
  float[] run(byte[] pixels) {
    table.encode(pixels, network.input(0));
    network.invoke();
    Tensor tensor = network.outputTensor(0);
    ByteBuffer given = network.output(0);
    Tensor.QuantizationParams steps = tensor.quantizationParams();
    float[] points = new float[tensor.numElements()];
    for (int i = 0; i < points.length; i++) {
      points[i] = tensor.dataType() == DataType.FLOAT32
          ? given.getFloat()
          : steps.getScale() * (code(given, tensor.dataType()) - steps.getZeroPoint());
    }
    return points;
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
          + ": squares and points are float32, or int8, uint8 or int16 with a scale");
    }
  }
}
