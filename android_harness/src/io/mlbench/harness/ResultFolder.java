package io.mlbench.harness;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
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

  /** Writes rows of equal length as little-endian float32 and returns the file's SHA-256. */
  String writeOutputs(float[][] rows) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(4 * rows.length * rows[0].length).order(ByteOrder.LITTLE_ENDIAN);
    for (float[] row : rows) {
      for (float value : row) {
        bytes.putFloat(value);
      }
    }
    write("outputs.f32", bytes.array());
    return sha256(bytes.array());
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

  private static String sha256(byte[] bytes) {
    try {
      StringBuilder hex = new StringBuilder();
      for (byte b : MessageDigest.getInstance("SHA-256").digest(bytes)) {
        hex.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
      }
      return hex.toString();
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Android has SHA-256", e);
    }
  }
}
