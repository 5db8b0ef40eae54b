package io.mlbench.harness;

import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.json.JSONException;
import org.json.JSONObject;

/** What one run measures: a JSON file beside its inputs, which it names without folders. */
final class RunConfig {
  static final int SCHEMA = 1;

  private static final int MAX_BYTES = 1 << 20;

  final String run;
  final File model;
  final int threads;
  final boolean xnnpack;
  final int minCount;
  final double minSeconds;
  final double maxSeconds;
  final int frameCount;

  private final File folder;
  private final JSONObject json;

  private RunConfig(File folder, JSONObject json) throws IOException, JSONException {
    this.folder = folder;
    this.json = json;
    if (json.getInt("schema") != SCHEMA) {
      throw new IOException("configuration schema " + json.getInt("schema") + " is not " + SCHEMA
          + ": install the app of this mlbench");
    }
    run = json.getString("run");
    if (!run.matches("[0-9a-f]{1,64}")) {
      throw new IOException("the run's name is not hexadecimal");
    }
    model = file("model");
    threads = json.getInt("threads");
    xnnpack = json.getBoolean("xnnpack");
    minCount = json.getInt("min_count");
    minSeconds = json.getDouble("min_seconds");
    maxSeconds = json.getDouble("max_seconds");
    frameCount = json.getInt("frame_count");
  }

  static RunConfig read(File file) throws IOException, JSONException {
    if (!file.isFile() || file.length() > MAX_BYTES) {
      throw new IOException(file + " is missing or too large for a configuration");
    }
    byte[] bytes = new byte[(int) file.length()];
    try (DataInputStream in = new DataInputStream(new FileInputStream(file))) {
      in.readFully(bytes);
    }
    return new RunConfig(file.getParentFile(), new JSONObject(new String(bytes, StandardCharsets.UTF_8)));
  }

  /** Whether the configuration asks for what `key` names. */
  boolean has(String key) {
    return json.has(key);
  }

  /** The input file that `key` names. */
  File file(String key) throws IOException, JSONException {
    String name = json.getString(key);
    if (name.contains("/") || name.startsWith(".")) {
      throw new IOException(key + " is not a plain file name");
    }
    File file = new File(folder, name);
    if (!file.isFile()) {
      throw new IOException("the " + key + " file is not on the device");
    }
    return file;
  }

  /** How the pictures become inputs of the network. */
  Encoding encoding() throws JSONException {
    return json.has("encoding") ? Encoding.of(json.getJSONObject("encoding")) : Encoding.GREY;
  }

  /** The pictures that `key` describes: file, count, height, width, channels. */
  GreyImages images(String key) throws IOException, JSONException {
    JSONObject entry = json.getJSONObject(key);
    return GreyImages.open(file(key + "_file"), entry.getInt("count"), entry.getInt("height"), entry.getInt("width"),
        entry.optInt("channels", 1));
  }
}
