package io.mlbench.harness;

import java.nio.ByteBuffer;

/** One grey picture as shown upright: a byte a pixel, no padding. */
final class GreyFrame {
  final int width;
  final int height;
  final byte[] pixels;

  GreyFrame(int width, int height, byte[] pixels) {
    this.width = width;
    this.height = height;
    this.pixels = pixels;
  }

  /** From a camera's luma plane, whose rows may be padded, turned clockwise by 0, 90, 180 or 270 degrees. */
  static GreyFrame fromLuma(ByteBuffer luma, int width, int height, int rowStride, int turnDegrees) {
    boolean sideways = turnDegrees % 180 != 0;
    byte[] pixels = new byte[width * height];
    byte[] row = new byte[width];
    for (int y = 0; y < height; y++) {
      luma.position(y * rowStride);
      luma.get(row);
      for (int x = 0; x < width; x++) {
        pixels[place(x, y, width, height, turnDegrees)] = row[x];
      }
    }
    return new GreyFrame(sideways ? height : width, sideways ? width : height, pixels);
  }

  private static int place(int x, int y, int width, int height, int turnDegrees) {
    switch (turnDegrees) {
      case 90:
        return x * height + (height - 1 - y);
      case 180:
        return (height - 1 - y) * width + (width - 1 - x);
      case 270:
        return (width - 1 - x) * height + y;
      default:
        return y * width + x;
    }
  }
}
