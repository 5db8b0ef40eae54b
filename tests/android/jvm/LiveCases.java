package io.mlbench.harness;

import static org.robolectric.Shadows.shadowOf;

import android.Manifest;
import android.app.Application;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraManager;
import android.view.View;
import android.view.ViewGroup;
import java.io.DataInputStream;
import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.util.ArrayList;
import java.util.List;
import org.json.JSONArray;
import org.json.JSONObject;
import org.opencv.android.OpenCVLoader;
import org.opencv.core.CvType;
import org.opencv.core.Mat;
import org.robolectric.Robolectric;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.shadows.ShadowCameraCharacteristics;
import org.robolectric.shadows.ShadowLooper;

/** The live screen: its life cycle, and its frame pipeline on given frames. Each case says what it saw. */
final class LiveCases {
  private LiveCases() {}

  static void run(String what, JSONObject request) throws Exception {
    switch (what) {
      case "live denied":
        denied(request);
        break;
      case "live frames":
        frames(request);
        break;
      case "live empty":
        resumed(request);
        break;
      case "live follow":
        follow(request);
        break;
      case "live turn":
        turn(request);
        break;
      default:
        throw new IllegalArgumentException(what);
    }
  }

  private static ActivityController<LiveActivity> screen(JSONObject request) throws Exception {
    return Robolectric.buildActivity(LiveActivity.class, new Intent().putExtra("models", request.getString("models")));
  }

  private static void denied(JSONObject request) throws Exception {
    Application application = RuntimeEnvironment.getApplication();
    shadowOf(application).denyPermissions(Manifest.permission.CAMERA);
    ActivityController<LiveActivity> screen = screen(request).setup();
    LiveActivity activity = screen.get();
    JSONArray asked = new JSONArray();
    for (String permission : shadowOf(activity).getLastRequestedPermission().requestedPermissions) {
      asked.put(permission);
    }
    activity.onFrame(frame(request)); // a late frame finds no network and must do nothing
    ShadowLooper.idleMainLooper();
    HarnessServer.say(new JSONObject().put("shown", activity.shown()).put("asked", asked));
    screen.pause().stop().destroy();
  }

  /** What the screen says as soon as it is there. */
  private static void resumed(JSONObject request) throws Exception {
    shadowOf((Application) RuntimeEnvironment.getApplication()).grantPermissions(Manifest.permission.CAMERA);
    ActivityController<LiveActivity> screen = screen(request).setup();
    HarnessServer.say(new JSONObject().put("shown", screen.get().shown()));
    screen.pause().stop().destroy();
  }

  /** Frame, pause, frame, resume, frame, another network, frame, a dark frame. */
  private static void frames(JSONObject request) throws Exception {
    shadowOf((Application) RuntimeEnvironment.getApplication()).grantPermissions(Manifest.permission.CAMERA);
    addBackCamera();
    ActivityController<LiveActivity> screen = screen(request).setup();
    LiveActivity activity = screen.get();
    List<String> shown = new ArrayList<>();
    shown.add(afterFrame(activity, request));
    screen.pause();
    String paused = activity.shown();
    shown.add(String.valueOf(paused.equals(afterFrame(activity, request))));
    screen.resume();
    shown.add(afterFrame(activity, request));
    activity.switchTo(new File(request.getString("other")));
    shown.add(activity.shown());
    shown.add(afterFrame(activity, request));
    JSONObject said = new JSONObject().put("shown", new JSONArray(shown));
    said.put("picture", draw(screenOf(activity), new File(request.getString("picture"))));
    activity.onFrame(frame(request, "dark"));
    ShadowLooper.idleMainLooper();
    draw(screenOf(activity), new File(request.getString("dark_picture")));
    screen.pause().stop().destroy();
    HarnessServer.say(said);
  }

  /** The faces of each frame of a video, followed as the settings beside a network say. */
  private static void follow(JSONObject request) throws Exception {
    OpenCVLoader.initLocal();
    File model = new File(request.getString("model"));
    LiveModels models = new LiveModels(model.getParentFile());
    JSONObject told = models.told(model);
    JSONArray said = new JSONArray();
    Mat grey = new Mat(request.getInt("height"), request.getInt("width"), CvType.CV_8UC1);
    byte[] pixels = new byte[grey.rows() * grey.cols()];
    try (Network network = Network.load(model, 1, true);
        DataInputStream in = new DataInputStream(new FileInputStream(request.getString("frames")))) {
      FaceNetwork faces = new FaceNetwork(network, null, told.getJSONObject("network"));
      FramePipeline pipeline = new FramePipeline(told, models.cascade(told), faces);
      for (int i = 0; i < request.getInt("count"); i++) {
        in.readFully(pixels);
        grey.put(0, 0, pixels);
        said.put(said(pipeline.followed(grey, i / request.getDouble("fps"))));
      }
    }
    HarnessServer.say(new JSONObject().put("frames", said));
  }

  private static JSONObject said(FramePipeline.Result found) throws Exception {
    JSONArray faces = new JSONArray();
    for (Face face : found.faces) {
      JSONArray box = new JSONArray().put(face.box.left).put(face.box.top).put(face.box.width).put(face.box.height);
      Object presence = Double.isNaN(face.presence) ? JSONObject.NULL : (Object) face.presence;
      faces.put(new JSONObject().put("number", face.number).put("box", box).put("presence", presence)
          .put("points", new JSONArray(face.points)));
    }
    return new JSONObject().put("faces", faces).put("searched", found.detectorNanos > 0);
  }

  private static void addBackCamera() throws Exception {
    CameraManager manager = RuntimeEnvironment.getApplication().getSystemService(CameraManager.class);
    if (manager.getCameraIdList().length == 0) {
      CameraCharacteristics facts = ShadowCameraCharacteristics.newCameraCharacteristics();
      shadowOf(facts).set(CameraCharacteristics.LENS_FACING, CameraCharacteristics.LENS_FACING_BACK);
      shadowOf(facts).set(CameraCharacteristics.SENSOR_ORIENTATION, 90);
      shadowOf(manager).addCamera("0", facts);
    }
  }

  private static String afterFrame(LiveActivity activity, JSONObject request) throws Exception {
    activity.onFrame(frame(request));
    ShadowLooper.idleMainLooper();
    return activity.shown();
  }

  private static View screenOf(LiveActivity activity) {
    return ((ViewGroup) activity.findViewById(android.R.id.content)).getChildAt(0);
  }

  private static String draw(View view, File target) throws Exception {
    Bitmap picture = Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
    view.draw(new Canvas(picture));
    try (FileOutputStream out = new FileOutputStream(target)) {
      picture.compress(Bitmap.CompressFormat.PNG, 100, out);
    }
    return target.getPath();
  }

  private static GreyFrame frame(JSONObject request) throws Exception {
    return frame(request, "frame");
  }

  private static GreyFrame frame(JSONObject request, String key) throws Exception {
    byte[] pixels = new byte[request.getInt("height") * request.getInt("width")];
    try (DataInputStream in = new DataInputStream(new FileInputStream(request.getString(key)))) {
      in.readFully(pixels);
    }
    return new GreyFrame(request.getInt("width"), request.getInt("height"), pixels);
  }

  /** A camera's padded rows turned upright, as numbers. */
  private static void turn(JSONObject request) throws Exception {
    JSONArray values = request.getJSONArray("luma");
    java.nio.ByteBuffer luma = java.nio.ByteBuffer.allocate(values.length());
    for (int i = 0; i < values.length(); i++) {
      luma.put(i, (byte) values.getInt(i));
    }
    GreyFrame frame = GreyFrame.fromLuma(luma, request.getInt("width"), request.getInt("height"),
        request.getInt("stride"), request.getInt("turn"));
    JSONArray pixels = new JSONArray();
    for (byte pixel : frame.pixels) {
      pixels.put(pixel & 255);
    }
    HarnessServer.say(new JSONObject().put("width", frame.width).put("height", frame.height).put("pixels", pixels));
  }
}
