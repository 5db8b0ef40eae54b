package io.mlbench.harness;

import java.io.Closeable;
import java.io.EOFException;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;

/** Samples of one size, one after another in a file; each is read when it is asked for, so any number fits. */
final class SampleFile implements Closeable {
  final int count;
  /** Bytes of one sample. */
  final int size;

  private final FileInputStream file;

  private SampleFile(FileInputStream file, int count, int size) {
    this.file = file;
    this.count = count;
    this.size = size;
  }

  static SampleFile open(File file, int count, int size) throws IOException {
    long expected = (long) count * size;
    if (count < 1 || size < 1 || file.length() != expected) {
      throw new IOException(file.getName() + " has " + file.length() + " bytes, not the " + expected + " of " + count
          + " samples of " + size + ": it is cut off, or another's");
    }
    return new SampleFile(new FileInputStream(file), count, size);
  }

  /** Fills `target` with sample `index` (counted on from the start again past the end). */
  void read(int index, ByteBuffer target) throws IOException {
    long start = (long) (index % count) * size;
    target.clear();
    while (target.hasRemaining()) {
      if (file.getChannel().read(target, start + target.position()) < 0) {
        throw new EOFException("a file of samples ends too early: it was changed while it was read");
      }
    }
  }

  @Override
  public void close() throws IOException {
    file.close();
  }
}
