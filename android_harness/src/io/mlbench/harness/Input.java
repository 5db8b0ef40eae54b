package io.mlbench.harness;

import java.io.Closeable;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;
import org.tensorflow.lite.Tensor;

/**
 * One input of the network and its samples: in the network's own bytes, or a byte an element with a table of what
 * each byte is to the network. The host has encoded and quantised both, so nothing is computed here.
 */
final class Input implements Closeable {
  /** As the network shall take it, with the batch. */
  final int[] shape;

  private final String type;
  private final SampleFile samples;
  private final File tableFile;
  private final int channels;
  private final ByteBuffer stored;
  private ByteTable table;

  Input(RunConfig config, JSONObject json, int count) throws IOException, JSONException {
    JSONArray sizes = json.getJSONArray("shape");
    shape = new int[sizes.length()];
    for (int i = 0; i < shape.length; i++) {
      shape[i] = sizes.getInt(i);
    }
    type = json.getString("type");
    tableFile = json.has("table") ? config.file(json, "table") : null;
    channels = json.optInt("channels", 1);
    samples = SampleFile.open(config.file(json, "file"), count, json.getInt("bytes"));
    stored = ByteBuffer.allocate(samples.size);
  }

  /** Checks that the network takes what the samples are, and prepares the table for it. */
  void fit(Tensor tensor) throws IOException {
    String taken = tensor.dataType().name().toLowerCase(Locale.ROOT);
    int bytes = tableFile == null ? tensor.numBytes() : tensor.numElements();
    if (!taken.equals(type) || bytes != samples.size) {
      throw new IOException("the network takes " + tensor.name() + " as " + taken + " from " + bytes
          + " bytes per sample, not as " + type + " from " + samples.size);
    }
    table = tableFile == null ? null : new ByteTable(RunConfig.bytes(tableFile), channels, tensor);
  }

  /** Puts sample `index` into a buffer of the network. */
  void read(int index, ByteBuffer target) throws IOException {
    if (table == null) {
      samples.read(index, target);
    } else {
      samples.read(index, stored);
      table.encode(stored.array(), target);
    }
  }

  /** The table, null where samples are stored as the network takes them. */
  ByteTable table() {
    return table;
  }

  @Override
  public void close() throws IOException {
    samples.close();
  }
}
