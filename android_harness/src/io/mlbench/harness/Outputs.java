package io.mlbench.harness;

import java.io.BufferedOutputStream;
import java.io.Closeable;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Locale;
import org.json.JSONArray;
import org.json.JSONException;
import org.json.JSONObject;

/** Writes what every output of a network gives, sample after sample, as raw bytes: one file per output. */
final class Outputs implements Closeable {
  private final Network network;
  private final File folder;
  private final FileOutputStream[] files;
  private final DigestOutputStream[] streams;
  private final byte[][] rows;
  private int count;

  Outputs(File folder, Network network) throws IOException {
    this.folder = folder;
    this.network = network;
    files = new FileOutputStream[network.outputCount()];
    streams = new DigestOutputStream[files.length];
    rows = new byte[files.length][];
    for (int i = 0; i < files.length; i++) {
      files[i] = new FileOutputStream(part(i));
      streams[i] = new DigestOutputStream(new BufferedOutputStream(files[i]), sha256());
    }
  }

  /** Takes in what the network's last run gave. */
  void add() throws IOException {
    for (int i = 0; i < files.length; i++) {
      ByteBuffer given = network.output(i);
      if (count == 0) {
        rows[i] = new byte[given.remaining()];
      }
      if (given.remaining() != rows[i].length) {
        throw new IOException("the network answers " + network.outputTensor(i).name() + " with " + given.remaining()
            + " bytes for sample " + count + ", with " + rows[i].length + " for the first");
      }
      given.get(rows[i]);
      streams[i].write(rows[i]);
    }
    count++;
  }

  /** Lets the files appear, whole, and tells of each. */
  JSONArray finish() throws IOException, JSONException {
    JSONArray told = new JSONArray();
    for (int i = 0; i < files.length; i++) {
      streams[i].flush();
      files[i].getFD().sync();
      streams[i].close();
      if (!part(i).renameTo(new File(folder, name(i)))) {
        throw new IOException(name(i) + " cannot be renamed into place");
      }
      told.put(new JSONObject()
          .put("type", network.outputTensor(i).dataType().name().toLowerCase(Locale.ROOT))
          .put("count", count)
          .put("bytes", rows[i].length)
          .put("sha256", hex(streams[i].getMessageDigest().digest())));
    }
    return told;
  }

  @Override
  public void close() throws IOException {
    for (int i = 0; i < files.length; i++) {
      if (files[i] != null) {
        files[i].close();
      }
      part(i).delete();
    }
  }

  private static String name(int index) {
    return "output-" + index + ".raw";
  }

  private File part(int index) {
    return new File(folder, name(index) + ".part");
  }

  private static MessageDigest sha256() {
    try {
      return MessageDigest.getInstance("SHA-256");
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("every Android has SHA-256", e);
    }
  }

  private static String hex(byte[] bytes) {
    StringBuilder hex = new StringBuilder();
    for (byte b : bytes) {
      hex.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
    }
    return hex.toString();
  }
}
