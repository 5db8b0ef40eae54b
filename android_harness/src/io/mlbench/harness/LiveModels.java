package io.mlbench.harness;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;

/** The networks that were pushed for the live screen, how each finds faces, and the cascade beside them. */
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

  /** How a network finds faces, as the host tells. */
  JSONObject told(File model) throws IOException, JSONException {
    File settings = new File(folder, model.getName().replaceFirst("\\.tflite$", ".json"));
    if (!settings.isFile()) {
      throw new IOException(settings.getName() + " is not beside it: mlbench android install --live brings both");
    }
    return RunConfig.told(settings);
  }

  /** The cascade that a network's settings name. */
  File cascade(JSONObject told) throws IOException, JSONException {
    return RunConfig.file(folder, told.getJSONObject("detector"), "cascade");
  }
}
