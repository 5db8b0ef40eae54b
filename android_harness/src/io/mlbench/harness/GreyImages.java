package io.mlbench.harness;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Pictures of one size, a byte per pixel and channel, one after another in a file: no decoder to differ by. */
final class GreyImages {
  final int count;
  final int height;
  final int width;

  private final int channels;
  private final ByteBuffer pixels;

  private GreyImages(ByteBuffer pixels, int count, int height, int width, int channels) {
    this.pixels = pixels;
    this.count = count;
    this.height = height;
    this.width = width;
    this.channels = channels;
  }

  static GreyImages open(File file, int count, int height, int width, int channels) throws IOException {
    long expected = (long) count * height * width * channels;
    if (count < 1 || height < 1 || width < 1 || channels < 1 || file.length() != expected) {
      throw new IOException(file.getName() + " has " + file.length() + " bytes, not the " + expected + " of " + count
          + " pictures of " + height + "x" + width + "x" + channels + ": a picture is missing");
    }
    try (FileInputStream in = new FileInputStream(file)) {
      ByteBuffer mapped = in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, expected);
      return new GreyImages(mapped, count, height, width, channels);
    }
  }

  /** Copies picture `index` (counted on from the start again past the end) to `target`. */
  void read(int index, byte[] target) {
    ByteBuffer view = pixels.duplicate();
    view.position(index % count * size());
    view.get(target, 0, size());
  }

  int size() {
    return height * width * channels;
  }
}
