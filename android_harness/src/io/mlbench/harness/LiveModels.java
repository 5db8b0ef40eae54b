package io.mlbench.harness;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** The networks that were pushed for the live screen, and the cascade beside them. */
final class LiveModels {
  /** Where `mlbench android install --live` puts them. */
  static final String FOLDER = "/data/local/tmp/mlbench/live";

  private final File folder;

  LiveModels(File folder) {
    this.folder = folder;
  }

  /** The .tflite files, by name. */
  List<File> list() {
    File[] found = folder.listFiles((parent, name) -> name.endsWith(".tflite"));
    List<File> models = new ArrayList<>(found == null ? new ArrayList<>() : Arrays.asList(found));
    models.sort((a, b) -> a.getName().compareTo(b.getName()));
    return models;
  }

  File cascade() {
    return new File(folder, "cascade.xml");
  }
}
