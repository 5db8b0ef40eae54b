package io.mlbench.harness;

/** A face of a frame. */
final class Face {
  /** Of the face, from 1 on; the same as long as it is followed. */
  final int number;
  final Box box;
  /** Landmarks to draw, px of the frame, x and y in turn. */
  final double[] points;
  /** The chance that it is a face, or Look.UNTOLD. */
  final double presence;

  Face(int number, Box box, double[] points, double presence) {
    this.number = number;
    this.box = box;
    this.points = points;
    this.presence = presence;
  }
}
