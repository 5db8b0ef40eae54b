package io.mlbench.harness;

import java.util.Comparator;

/** A rectangle of whole pixels; it may lie partly outside the frame. The host's `mlbench.boxes`. */
final class Box {
  /** By area, those of one area from left to right. */
  static final Comparator<Box> LARGEST_FIRST = (a, b) -> a.area() != b.area()
      ? Long.compare(b.area(), a.area())
      : a.left != b.left ? Integer.compare(a.left, b.left) : Integer.compare(a.top, b.top);

  final int left;
  final int top;
  final int width;
  final int height;

  Box(int left, int top, int width, int height) {
    this.left = left;
    this.top = top;
    this.width = width;
    this.height = height;
  }

  long area() {
    return (long) width * height;
  }

  /** The box with sides `margin` times as long around the same centre, rounded to whole pixels. */
  Box scaled(double margin) {
    int wide = Math.max(1, (int) Math.rint(width * margin));
    int high = Math.max(1, (int) Math.rint(height * margin));
    return new Box(
        (int) Math.rint(left + (width - wide) / 2.0), (int) Math.rint(top + (height - high) / 2.0), wide, high);
  }

  /** Pixels that both boxes have. */
  long common(Box other) {
    long wide = Math.min((long) left + width, (long) other.left + other.width) - Math.max(left, other.left);
    long high = Math.min((long) top + height, (long) other.top + other.height) - Math.max(top, other.top);
    return Math.max(wide, 0) * Math.max(high, 0);
  }

  /** Intersection over union, 0 to 1. */
  double overlap(Box other) {
    long common = common(other);
    return common / (double) (area() + other.area() - common);
  }
}
