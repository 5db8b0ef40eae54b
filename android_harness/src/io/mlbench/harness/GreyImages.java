package io.mlbench.harness;

import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;

/** Grey pictures of one size, one byte a pixel, one after another in a file: no decoder to differ by. */
final class GreyImages {
  final int count;
  final int height;
  final int width;

  private final ByteBuffer pixels;

  private GreyImages(ByteBuffer pixels, int count, int height, int width) {
    this.pixels = pixels;
    this.count = count;
    this.height = height;
    this.width = width;
  }

  static GreyImages open(File file, int count, int height, int width) throws IOException {
    long expected = (long) count * height * width;
    if (count < 1 || height < 1 || width < 1 || file.length() != expected) {
      throw new IOException(file.getName() + " has " + file.length() + " bytes, not the " + expected + " of " + count
          + " pictures of " + height + "x" + width + ": a picture is missing");
    }
    try (FileInputStream in = new FileInputStream(file)) {
      return new GreyImages(in.getChannel().map(FileChannel.MapMode.READ_ONLY, 0, expected), count, height, width);
    }
  }

  /** Copies picture `index` (counted on from the start again past the end) to `target`. */
  void read(int index, byte[] target) {
    ByteBuffer view = pixels.duplicate();
    view.position(index % count * height * width);
    view.get(target, 0, height * width);
  }

  int size() {
    return height * width;
  }
}
