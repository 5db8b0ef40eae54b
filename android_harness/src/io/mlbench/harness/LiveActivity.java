package io.mlbench.harness;

import android.Manifest;
import android.app.Activity;
import android.app.AlertDialog;
import android.content.pm.PackageManager;
import android.os.Bundle;
import android.view.Surface;
import android.view.WindowManager;
import java.io.File;
import java.io.IOException;
import java.util.List;
import org.json.JSONException;
import org.opencv.android.OpenCVLoader;

/** The paper's application: the back camera's faces, followed, with their points, and how fast it goes. */
public final class LiveActivity extends Activity implements CameraSource.Listener {
  private static final int CAMERA_REQUEST = 1;
  private static final int THREADS = 1;

  private LiveModels models;
  private LandmarkView view;
  private File model;
  private CameraSource camera;
  private volatile LiveSession session;

  @Override
  protected void onCreate(Bundle state) {
    super.onCreate(state);
    getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
    String folder = getIntent().getStringExtra("models");
    models = new LiveModels(new File(folder == null ? LiveModels.FOLDER : folder));
    view = new LandmarkView(this);
    view.setOnClickListener(v -> choose());
    setContentView(view);
    if (checkSelfPermission(Manifest.permission.CAMERA) != PackageManager.PERMISSION_GRANTED) {
      requestPermissions(new String[] {Manifest.permission.CAMERA}, CAMERA_REQUEST);
    }
  }

  @Override
  protected void onResume() {
    super.onResume();
    if (checkSelfPermission(Manifest.permission.CAMERA) == PackageManager.PERMISSION_GRANTED) {
      startLive();
    } else {
      view.say("The camera is not allowed: allow it in the settings of this app.");
    }
  }

  @Override
  protected void onPause() {
    stopLive();
    super.onPause();
  }

  /** What the screen says. */
  String shown() {
    return view.text();
  }

  private void startLive() {
    List<File> found = models.list();
    if (found.isEmpty()) {
      view.say("No network is on this phone yet: mlbench android install --live FILE.tflite");
      return;
    }
    if (model == null || !found.contains(model)) {
      model = found.get(0);
    }
    if (openSession()) {
      camera = new CameraSource(this, displayDegrees(), this);
      camera.open();
    }
  }

  private boolean openSession() {
    view.say(model.getName());
    try {
      if (!OpenCVLoader.initLocal()) {
        view.say("OpenCV does not load on this phone.");
        return false;
      }
      session = new LiveSession(model, models, THREADS);
      return true;
    } catch (IOException | JSONException | RuntimeException | LinkageError | OutOfMemoryError e) {
      view.say(model.getName() + " does not fit: " + e.getMessage());
      return false;
    }
  }

  private void stopLive() {
    if (camera != null) {
      camera.close();
      camera = null;
    }
    if (session != null) {
      session.close();
      session = null;
    }
  }

  private void choose() {
    List<File> found = models.list();
    String[] names = new String[found.size()];
    for (int i = 0; i < names.length; i++) {
      names[i] = found.get(i).getName();
    }
    new AlertDialog.Builder(this).setItems(names, (dialog, which) -> switchTo(found.get(which))).show();
  }

  /** Goes on with another network. */
  void switchTo(File chosen) {
    stopLive();
    model = chosen;
    startLive();
  }

  @Override
  public void onFrame(GreyFrame frame) {
    LiveSession live = session;
    FramePipeline.Result found = live == null ? null : live.process(frame);
    if (found != null) {
      String text = live.text(found);
      runOnUiThread(() -> view.show(frame, found.faces, text));
    }
  }

  @Override
  public void onCameraError(String reason) {
    runOnUiThread(() -> view.say("No camera: " + reason + "."));
  }

  private int displayDegrees() {
    switch (getWindowManager().getDefaultDisplay().getRotation()) {
      case Surface.ROTATION_90:
        return 90;
      case Surface.ROTATION_180:
        return 180;
      case Surface.ROTATION_270:
        return 270;
      default:
        return 0;
    }
  }
}
