package io.mlbench.harness;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import org.json.JSONObject;

/** Where a run leaves its result; files appear whole, and the stage stays readable if the process is killed. */
final class ResultFolder {
  private final File folder;
  private String stage = "start";

  ResultFolder(File parent, String run) throws IOException {
    folder = new File(parent, run);
    if (!folder.isDirectory() && !folder.mkdirs()) {
      throw new IOException(folder + " cannot be made");
    }
    new File(folder, "result.json").delete();
  }

  /** Notes what is done next, so that a killed process tells where it was. */
  void enter(String next) throws IOException {
    stage = next;
    write("stage.txt", next.getBytes(StandardCharsets.UTF_8));
  }

  String stage() {
    return stage;
  }

  void writeResult(JSONObject result) throws IOException {
    write("result.json", result.toString().getBytes(StandardCharsets.UTF_8));
  }

  /** Files for what the network gives, beside the result. */
  Outputs outputs(Network network) throws IOException {
    return new Outputs(folder, network);
  }

  private void write(String name, byte[] bytes) throws IOException {
    File part = new File(folder, name + ".part");
    try (FileOutputStream out = new FileOutputStream(part)) {
      out.write(bytes);
      out.getFD().sync();
    }
    if (!part.renameTo(new File(folder, name))) {
      throw new IOException(name + " cannot be renamed into place");
    }
  }
}
