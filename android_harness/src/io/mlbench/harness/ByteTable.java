package io.mlbench.harness;

import java.io.IOException;
import java.nio.ByteBuffer;
import org.tensorflow.lite.Tensor;

/** What each stored byte is to the network, in the network's own bytes: for all elements alike, or by channel. */
final class ByteTable {
  private static final int LEVELS = 256;

  private final byte[] encoded; // [stored byte][channel][bytes of one element]
  private final int channels;
  private final int width;

  ByteTable(byte[] encoded, int channels, Tensor input) throws IOException {
    this.encoded = encoded;
    this.channels = channels;
    width = input.numBytes() / Math.max(1, input.numElements());
    if (channels < 1 || input.numElements() % channels != 0 || encoded.length != LEVELS * channels * width) {
      throw new IOException("the table of " + input.name() + " has " + encoded.length + " bytes, not the "
          + (long) LEVELS * channels * width + " of " + channels + " channels");
    }
  }

  /** Encodes a sample, a byte an element. */
  void encode(byte[] stored, ByteBuffer target) {
    target.clear();
    for (int i = 0; i < stored.length; i++) {
      target.put(encoded, ((stored[i] & 255) * channels + i % channels) * width, width);
    }
  }
}
