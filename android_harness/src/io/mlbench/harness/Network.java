package io.mlbench.harness;

import java.io.Closeable;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.util.Arrays;
import java.util.Collections;
import org.tensorflow.lite.Interpreter;
import org.tensorflow.lite.Tensor;

/** A network from a .tflite file: the bytes of its inputs in, the bytes of its outputs out. */
final class Network implements Closeable {
  private final Interpreter interpreter;
  private final ByteBuffer[] inputs;

  private Network(Interpreter interpreter) {
    this.interpreter = interpreter;
    inputs = new ByteBuffer[interpreter.getInputTensorCount()];
    for (int i = 0; i < inputs.length; i++) {
      inputs[i] = ByteBuffer.allocateDirect(inputTensor(i).numBytes()).order(ByteOrder.nativeOrder());
    }
  }

  /** Maps the file and prepares it as it is; throws what TensorFlow Lite says where it cannot. */
  static Network load(File file, int threads, boolean xnnpack) throws IOException {
    return load(file, threads, xnnpack, null);
  }

  /** Likewise, its inputs in the given shapes: a file may leave the batch open. */
  static Network load(File file, int threads, boolean xnnpack, int[][] shapes) throws IOException {
    MappedByteBuffer bytes;
    try (FileInputStream in = new FileInputStream(file)) {
      bytes = in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, file.length());
    }
    Interpreter interpreter =
        new Interpreter(bytes, new Interpreter.Options().setNumThreads(threads).setUseXNNPACK(xnnpack));
    try {
      if (shapes != null) {
        resize(interpreter, shapes);
      }
      interpreter.allocateTensors();
      return new Network(interpreter);
    } catch (IOException | RuntimeException e) {
      interpreter.close();
      throw e;
    }
  }

  private static void resize(Interpreter interpreter, int[][] shapes) throws IOException {
    if (interpreter.getInputTensorCount() != shapes.length) {
      throw new IOException(
          "the network has " + interpreter.getInputTensorCount() + " inputs, there are samples for " + shapes.length);
    }
    for (int i = 0; i < shapes.length; i++) {
      if (!Arrays.equals(interpreter.getInputTensor(i).shape(), shapes[i])) {
        interpreter.resizeInput(i, shapes[i]);
      }
    }
  }

  int inputCount() {
    return inputs.length;
  }

  int outputCount() {
    return interpreter.getOutputTensorCount();
  }

  Tensor inputTensor(int index) {
    return interpreter.getInputTensor(index);
  }

  Tensor outputTensor(int index) {
    return interpreter.getOutputTensor(index);
  }

  /** The buffer that the next run takes one input from. */
  ByteBuffer input(int index) {
    return inputs[index];
  }

  /** Runs the network, and nothing else: this is what is timed. Outputs are read from its own memory. */
  void invoke() {
    for (ByteBuffer input : inputs) {
      input.rewind();
    }
    interpreter.runForMultipleInputsOutputs(inputs, Collections.emptyMap());
  }

  /** What the last run gave at one output; valid until the next. */
  ByteBuffer output(int index) {
    return outputTensor(index).asReadOnlyBuffer().order(ByteOrder.nativeOrder());
  }

  @Override
  public void close() {
    interpreter.close();
  }
}
