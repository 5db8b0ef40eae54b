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
  static final int SCHEMA = 4;

  private static final int MAX_BYTES = 1 << 20;

  final String run;
  final File model;
  final int threads;
  final boolean xnnpack;
  final int minCount;
  final double minSeconds;
  final double maxSeconds;

  private final File folder;
  private final JSONObject json;

  private RunConfig(File folder, JSONObject json) throws IOException, JSONException {
    this.folder = folder;
    this.json = json;
    run = json.getString("run");
    if (!run.matches("[0-9a-f]{1,64}")) {
      throw new IOException("the run's name is not hexadecimal");
    }
    model = file(json, "model");
    threads = json.getInt("threads");
    xnnpack = json.getBoolean("xnnpack");
    minCount = json.getInt("min_count");
    minSeconds = json.getDouble("min_seconds");
    maxSeconds = json.getDouble("max_seconds");
  }

  static RunConfig read(File file) throws IOException, JSONException {
    return new RunConfig(file.getParentFile(), told(file));
  }

  /** What the host tells in a file, of this app's schema. */
  static JSONObject told(File file) throws IOException, JSONException {
    JSONObject told = new JSONObject(new String(bytes(file), StandardCharsets.UTF_8));
    if (told.getInt("schema") != SCHEMA) {
      throw new IOException("this app reads configurations of schema " + SCHEMA + ", not " + told.getInt("schema")
          + ": build and install the app of this mlbench (mlbench android build, mlbench android install)");
    }
    return told;
  }

  /** The whole of a small file. */
  static byte[] bytes(File file) throws IOException {
    if (!file.isFile() || file.length() > MAX_BYTES) {
      throw new IOException(file + " is missing, or has over " + MAX_BYTES + " bytes");
    }
    byte[] bytes = new byte[(int) file.length()];
    try (DataInputStream in = new DataInputStream(new FileInputStream(file))) {
      in.readFully(bytes);
    }
    return bytes;
  }

  /** Whether the configuration asks for what `key` names. */
  boolean has(String key) {
    return json.has(key);
  }

  /** The file that `key` of a part of the configuration names. */
  File file(JSONObject part, String key) throws IOException, JSONException {
    return file(folder, part, key);
  }

  /** The file of a folder that `key` of a part of what the host tells names. */
  static File file(File folder, JSONObject part, String key) throws IOException, JSONException {
    String name = part.getString(key);
    if (name.contains("/") || name.startsWith(".")) {
      throw new IOException(key + " is not a plain file name");
    }
    File file = new File(folder, name);
    if (!file.isFile()) {
      throw new IOException("the " + key + " file is not on the device");
    }
    return file;
  }

  /** The samples to measure on. */
  Inputs inputs() throws IOException, JSONException {
    return new Inputs(this, json.getJSONArray("inputs"), json.getInt("count"));
  }

  /** How faces are found, and in which frames. */
  JSONObject pipeline() throws JSONException {
    return json.getJSONObject("pipeline");
  }
}
