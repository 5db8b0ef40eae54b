package io.mlbench.harness;

import java.io.Closeable;
import java.io.IOException;
import java.nio.ByteBuffer;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.CvType;
import org.opencv.core.Mat;

/** Grey frames of one size, one in memory at a time. */
final class Frames implements Closeable {
  private final SampleFile file;
  private final ByteBuffer pixels;
  private final Mat grey;

  Frames(RunConfig config, JSONObject json) throws IOException, JSONException {
    int height = json.getInt("height");
    int width = json.getInt("width");
    file = SampleFile.open(config.file(json, "file"), json.getInt("count"), height * width);
    pixels = ByteBuffer.allocate(file.size);
    grey = new Mat(height, width, CvType.CV_8UC1);
  }

  int count() {
    return file.count;
  }

  /** Frame `index` (counted on from the start again past the end); valid until the next is asked for. */
  Mat read(int index) throws IOException {
    file.read(index, pixels);
    grey.put(0, 0, pixels.array());
    return grey;
  }

  @Override
  public void close() throws IOException {
    grey.release();
    file.close();
  }
}
