package io.mlbench.harness;

import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** How a stored byte becomes an input of the network: (stored - offset) / scale, for all channels or one by one. */
final class Encoding {
  /** Grey levels to 0..1. */
  static final Encoding GREY = new Encoding(new float[] {255f}, new float[] {0f});

  private final float[] scale;
  private final float[] offset;

  private Encoding(float[] scale, float[] offset) {
    this.scale = scale;
    this.offset = offset;
  }

  static Encoding of(JSONObject json) throws JSONException {
    return new Encoding(numbers(json.get("scale")), numbers(json.get("offset")));
  }

  /** What each byte of 0..255 becomes in a channel. */
  float[] table(int channel) {
    float[] table = new float[256];
    for (int stored = 0; stored < table.length; stored++) {
      table[stored] = (stored - offset[channel % offset.length]) / scale[channel % scale.length];
    }
    return table;
  }

  private static float[] numbers(Object json) throws JSONException {
    if (json instanceof Number) {
      return new float[] {((Number) json).floatValue()};
    }
    JSONArray array = (JSONArray) json;
    float[] numbers = new float[array.length()];
    for (int i = 0; i < numbers.length; i++) {
      numbers[i] = (float) array.getDouble(i);
    }
    return numbers;
  }
}
