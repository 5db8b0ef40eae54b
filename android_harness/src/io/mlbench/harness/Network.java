package io.mlbench.harness;

import java.io.Closeable;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/** A landmark network from a .tflite file: a grey square crop in, x and y of each point in crop pixels out. */
final class Network implements Closeable {
  /** Side of the crop that the network takes. */
  final int side;
  /** Numbers that it gives: two a point. */
  final int outputs;

  private final Interpreter interpreter;
  private final ByteBuffer input;
  private final ByteBuffer output;
  private final short[] codes;

  private Network(Interpreter interpreter) throws IOException {
    this.interpreter = interpreter;
    Tensor in = interpreter.getInputTensor(0);
    Tensor out = interpreter.getOutputTensor(0);
    int[] shape = in.shape();
    side = shape.length == 4 ? shape[1] : 0;
    outputs = out.numElements();
    if (side < 1 || in.numElements() != side * side || outputs < 2 || outputs % 2 != 0) {
      throw new IOException("it takes " + in.numElements() + " numbers and gives " + outputs
          + ": not a network from a grey square crop to points");
    }
    codes = in.dataType() == DataType.FLOAT32 ? null : codes(in);
    if (out.dataType() != DataType.FLOAT32) {
      requireCodes(out);
    }
    input = ByteBuffer.allocateDirect(in.numBytes()).order(ByteOrder.nativeOrder());
    output = ByteBuffer.allocateDirect(out.numBytes()).order(ByteOrder.nativeOrder());
  }

  /** Maps the file and prepares it; throws what TensorFlow Lite says where it cannot. */
  static Network load(File file, int threads, boolean xnnpack) throws IOException {
    MappedByteBuffer bytes;
    try (FileInputStream in = new FileInputStream(file)) {
      bytes = in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length());
    }
    Interpreter interpreter =
        new Interpreter(bytes, new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(xnnpack));
    try {
      interpreter.allocateTensors();
      return new Network(interpreter);
    } catch (IOException | RuntimeException e) {
      interpreter.close();
      throw e;
    }
  }

  /** Points of one crop. */
  float[] run(byte[] crop) {
    set(crop);
    invoke();
    return points();
  }

  /** Sets the input to a crop of side x side grey pixels: pixels / 255, quantised where the file takes codes. */
  void set(byte[] crop) {
    input.rewind();
    for (int i = 0; i < side * side; i++) {
      int grey = crop[i] & 255;
      if (codes == null) {
        input.putFloat(grey / 255f);
      } else if (input.capacity() == side * side) {
        input.put((byte) codes[grey]);
      } else {
        input.putShort(codes[grey]);
      }
    }
  }

  /** Runs the network, and nothing else: this is what is timed. */
  void invoke() {
    input.rewind();
    output.rewind();
    interpreter.run(input, output);
  }

  /** What the last run found: x0, y0, x1, y1, … in pixels of the crop. */
  float[] points() {
    float[] points = new float[outputs];
    Tensor out = interpreter.getOutputTensor(0);
    output.rewind();
    if (out.dataType() == DataType.FLOAT32) {
      output.asFloatBuffer().get(points);
      return points;
    }
    Tensor.QuantizationParams q = out.quantizationParams();
    for (int i = 0; i < outputs; i++) {
      points[i] = q.getScale() * (code(out.dataType()) - q.getZeroPoint());
    }
    return points;
  }

  private int code(DataType type) {
    if (type == DataType.INT16) {
      return output.getShort();
    }
    byte value = output.get();
    return type == DataType.INT8 ? value : value & 255;
  }

  /** The code that each grey value of 0..255 becomes, rounded half to even as numpy does. */
  private static short[] codes(Tensor in) throws IOException {
    requireCodes(in);
    Tensor.QuantizationParams q = in.quantizationParams();
    int bits = 8 * in.dataType().byteSize();
    int lowest = in.dataType() == DataType.UINT8 ? 0 : -(1 << (bits - 1));
    short[] table = new short[256];
    for (int grey = 0; grey < 256; grey++) {
      long value = (long) Math.rint(grey / 255f / q.getScale()) + q.getZeroPoint();
      table[grey] = (short) Math.max(lowest, Math.min(lowest + (1 << bits) - 1, value));
    }
    return table;
  }

  private static void requireCodes(Tensor tensor) throws IOException {
    DataType type = tensor.dataType();
    boolean known = type == DataType.INT8 || type == DataType.UINT8 || type == DataType.INT16;
    if (!known || !(tensor.quantizationParams().getScale() > 0)) {
      throw new IOException("its " + tensor.name() + " is " + type + (known ? " without a scale" : "")
          + ": inputs and outputs are float32, or int8, uint8 or int16 with a scale");
    }
  }

  @Override
  public void close() {
    interpreter.close();
  }
}
