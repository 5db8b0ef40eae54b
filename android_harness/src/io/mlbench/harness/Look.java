package io.mlbench.harness;

/** What a network sees in a box. */
final class Look {
  /** The chance of a face where the network does not tell it. */
  static final double UNTOLD = Double.NaN;

  /** Landmarks in pixels of the frame, x and y in turn. */
  final double[] points;
  /** The chance that the box shows a face, or UNTOLD. */
  final double presence;
  /** Whether it is taken for a face. */
  final boolean shown;

  Look(double[] points, double presence, boolean shown) {
    this.points = points;
    this.presence = presence;
    this.shown = shown;
  }
}
