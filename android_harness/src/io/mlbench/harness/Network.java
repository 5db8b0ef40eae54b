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

/** A network from a .tflite file: the bytes of one image in, numbers out. */
final class Network implements Closeable {
  /** Side of the grey square that the network takes; 0 where it takes another image. */
  final int side;
  /** Bytes of the image that it takes. */
  final int inputs;
  /** Numbers that it gives. */
  final int outputs;

  private final Interpreter interpreter;
  private final ByteBuffer input;
  private final ByteBuffer output;
  private final float[][] values;
  private final short[][] codes;

  private Network(Interpreter interpreter, Encoding encoding) throws IOException {
    this.interpreter = interpreter;
    Tensor in = interpreter.getInputTensor(0);
    Tensor out = interpreter.getOutputTensor(0);
    if (interpreter.getInputTensorCount() != 1 || interpreter.getOutputTensorCount() != 1) {
      throw new IOException("it has " + interpreter.getInputTensorCount() + " inputs and "
          + interpreter.getOutputTensorCount() + " outputs: this app measures networks with one of each");
    }
    int[] shape = in.shape();
    inputs = in.numElements();
    outputs = out.numElements();
    int channels = shape.length == 4 ? shape[3] : 1;
    side = shape.length == 4 && channels == 1 && shape[1] == shape[2] ? shape[1] : 0;
    values = new float[channels][];
    codes = in.dataType() == DataType.FLOAT32 ? null : new short[channels][];
    for (int channel = 0; channel < channels; channel++) {
      values[channel] = encoding.table(channel);
      if (codes != null) {
        codes[channel] = codes(in, values[channel]);
      }
    }
    if (out.dataType() != DataType.FLOAT32) {
      requireCodes(out);
    }
    input = ByteBuffer.allocateDirect(in.numBytes()).order(ByteOrder.nativeOrder());
    output = ByteBuffer.allocateDirect(out.numBytes()).order(ByteOrder.nativeOrder());
  }

  /** Maps the file and prepares it; throws what TensorFlow Lite says where it cannot. */
  static Network load(File file, int threads, boolean xnnpack, Encoding encoding) throws IOException {
    MappedByteBuffer bytes;
    try (FileInputStream in = new FileInputStream(file)) {
      bytes = in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length());
    }
    Interpreter interpreter =
        new Interpreter(bytes, new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(xnnpack));
    try {
      interpreter.allocateTensors();
      return new Network(interpreter, encoding);
    } catch (IOException | RuntimeException e) {
      interpreter.close();
      throw e;
    }
  }

  /** What the network answers to one image. */
  float[] run(byte[] image) {
    set(image);
    invoke();
    return answers();
  }

  /** Sets the input to an image: encoded, and quantised where the file takes codes. */
  void set(byte[] image) {
    input.rewind();
    for (int i = 0; i < inputs; i++) {
      int channel = i % values.length;
      int stored = image[i] & 255;
      if (codes == null) {
        input.putFloat(values[channel][stored]);
      } else if (input.capacity() == inputs) {
        input.put((byte) codes[channel][stored]);
      } else {
        input.putShort(codes[channel][stored]);
      }
    }
  }

  /** Runs the network, and nothing else: this is what is timed. */
  void invoke() {
    input.rewind();
    output.rewind();
    interpreter.run(input, output);
  }

  /** What the last run gave, in real numbers. */
  float[] answers() {
    float[] answers = new float[outputs];
    Tensor out = interpreter.getOutputTensor(0);
    output.rewind();
    if (out.dataType() == DataType.FLOAT32) {
      output.asFloatBuffer().get(answers);
      return answers;
    }
    Tensor.QuantizationParams q = out.quantizationParams();
    for (int i = 0; i < outputs; i++) {
      answers[i] = q.getScale() * (code(out.dataType()) - q.getZeroPoint());
    }
    return answers;
  }

  private int code(DataType type) {
    if (type == DataType.INT16) {
      return output.getShort();
    }
    byte value = output.get();
    return type == DataType.INT8 ? value : value & 255;
  }

  /** The codes that real numbers become, rounded half to even as numpy does. */
  private static short[] codes(Tensor in, float[] values) throws IOException {
    requireCodes(in);
    Tensor.QuantizationParams q = in.quantizationParams();
    int bits = 8 * in.dataType().byteSize();
    int lowest = in.dataType() == DataType.UINT8 ? 0 : -(1 << (bits - 1));
    short[] table = new short[values.length];
    for (int stored = 0; stored < table.length; stored++) {
      long value = (long) Math.rint(values[stored] / q.getScale()) + q.getZeroPoint();
      table[stored] = (short) Math.max(lowest, Math.min(lowest + (1 << bits) - 1, value));
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
