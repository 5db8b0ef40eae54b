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
  private final byte[] quantised;
  private final boolean floatInput;

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
    floatInput = in.dataType() == DataType.FLOAT32;
    quantised = floatInput ? null : quantisation(in);
    if (out.dataType() != DataType.FLOAT32) {
      integers(out);
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

  /** Points of one crop of side x side grey pixels: x0, y0, x1, y1, … */
  float[] run(byte[] crop) {
    input.rewind();
    if (floatInput) {
      for (int i = 0; i < side * side; i++) {
        input.putFloat((crop[i] & 255) / 255f);
      }
    } else {
      for (int i = 0; i < side * side; i++) {
        input.put(quantised[crop[i] & 255]);
      }
    }
    input.rewind();
    output.rewind();
    interpreter.run(input, output);
    return points();
  }

  private float[] points() {
    float[] points = new float[outputs];
    Tensor out = interpreter.getOutputTensor(0);
    output.rewind();
    if (out.dataType() == DataType.FLOAT32) {
      output.asFloatBuffer().get(points);
      return points;
    }
    Tensor.QuantizationParams q = out.quantizationParams();
    boolean signed = out.dataType() == DataType.INT8;
    for (int i = 0; i < outputs; i++) {
      byte value = output.get();
      points[i] = q.getScale() * ((signed ? value : value & 255) - q.getZeroPoint());
    }
    return points;
  }

  /** The byte that each grey value of 0..255 becomes, rounded half to even as numpy does. */
  private static byte[] quantisation(Tensor in) throws IOException {
    integers(in);
    Tensor.QuantizationParams q = in.quantizationParams();
    boolean signed = in.dataType() == DataType.INT8;
    byte[] table = new byte[256];
    for (int grey = 0; grey < 256; grey++) {
      long value = (long) Math.rint(grey / 255f / q.getScale()) + q.getZeroPoint();
      table[grey] = (byte) Math.max(signed ? -128 : 0, Math.min(signed ? 127 : 255, value));
    }
    return table;
  }

  private static void integers(Tensor tensor) throws IOException {
    if (tensor.dataType() != DataType.INT8 && tensor.dataType() != DataType.UINT8) {
      throw new IOException("its " + tensor.name() + " is " + tensor.dataType() + ", not float32, int8 or uint8");
    }
  }

  @Override
  public void close() {
    interpreter.close();
  }
}
