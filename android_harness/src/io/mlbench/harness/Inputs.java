package io.mlbench.harness;

import java.io.Closeable;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONException;

/** The samples of all inputs of the network, in its own order. */
final class Inputs implements Closeable {
  final int count;

  private final List<Input> each = new ArrayList<>();

  Inputs(RunConfig config, JSONArray json, int count) throws IOException, JSONException {
    this.count = count;
    try {
      for (int i = 0; i < json.length(); i++) {
        each.add(new Input(config, json.getJSONObject(i), count));
      }
    } catch (IOException | JSONException | RuntimeException e) {
      close();
      throw e;
    }
  }

  /** The shapes that the network is to take. */
  int[][] shapes() {
    int[][] shapes = new int[each.size()][];
    for (int i = 0; i < shapes.length; i++) {
      shapes[i] = each.get(i).shape;
    }
    return shapes;
  }

  /** Checks that the network takes what the samples are. */
  void fit(Network network) throws IOException {
    for (int i = 0; i < each.size(); i++) {
      each.get(i).fit(network.inputTensor(i));
    }
  }

  /** Sets the network's inputs to sample `index` (counted on from the start again past the end). */
  void set(Network network, int index) throws IOException {
    for (int i = 0; i < each.size(); i++) {
      each.get(i).read(index, network.input(i));
    }
  }

  /** The table of the first input; null where there is none. */
  ByteTable table() {
    return each.get(0).table();
  }

  @Override
  public void close() throws IOException {
    for (Input input : each) {
      input.close();
    }
  }
}
