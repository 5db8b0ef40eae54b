package io.mlbench.harness;

import android.annotation.SuppressLint;
import android.content.Context;
import android.graphics.ImageFormat;
import android.hardware.camera2.CameraAccessException;
import android.hardware.camera2.CameraCaptureSession;
import android.hardware.camera2.CameraCharacteristics;
import android.hardware.camera2.CameraDevice;
import android.hardware.camera2.CameraManager;
import android.hardware.camera2.CaptureRequest;
import android.hardware.camera2.params.StreamConfigurationMap;
import android.media.Image;
import android.media.ImageReader;
import android.os.Handler;
import android.os.HandlerThread;
import android.util.Size;
import java.nio.ByteBuffer;
import java.util.Collections;

/** Grey frames of the back camera, the newest only, delivered on a thread of its own. */
final class CameraSource {
  /** Hears frames and what goes wrong; both come on the camera's thread. */
  interface Listener {
    void onFrame(GreyFrame frame);

    void onCameraError(String reason);
  }

  /** The paper's frames are 864 by 480. */
  private static final int WIDTH = 864;
  private static final int HEIGHT = 480;

  private final CameraManager manager;
  private final Listener listener;
  private final int displayDegrees;

  private HandlerThread thread;
  private Handler handler;
  private ImageReader reader;
  private CameraDevice camera;
  private int turnDegrees;
  private boolean closed;

  CameraSource(Context context, int displayDegrees, Listener listener) {
    manager = (CameraManager) context.getSystemService(Context.CAMERA_SERVICE);
    this.displayDegrees = displayDegrees;
    this.listener = listener;
  }

  /** Opens the back camera; the permission must have been given. */
  @SuppressLint("MissingPermission")
  void open() {
    thread = new HandlerThread("camera");
    thread.start();
    handler = new Handler(thread.getLooper());
    try {
      String id = backCamera();
      if (id == null) {
        listener.onCameraError("this device has no back camera");
        return;
      }
      CameraCharacteristics facts = manager.getCameraCharacteristics(id);
      Integer sensor = facts.get(CameraCharacteristics.SENSOR_ORIENTATION);
      turnDegrees = ((sensor == null ? 0 : sensor) - displayDegrees + 360) % 360;
      Size size = nearest(facts.get(CameraCharacteristics.SCALER_STREAM_CONFIGURATION_MAP));
      reader = ImageReader.newInstance(size.getWidth(), size.getHeight(), ImageFormat.YUV_420_888, 2);
      reader.setOnImageAvailableListener(this::deliver, handler);
      manager.openCamera(id, new Opened(), handler);
    } catch (CameraAccessException | RuntimeException e) {
      listener.onCameraError(String.valueOf(e.getMessage()));
    }
  }

  /** Gives the camera back; no frame comes after it. */
  synchronized void close() {
    closed = true;
    if (camera != null) {
      camera.close();
      camera = null;
    }
    if (reader != null) {
      reader.close();
    }
    if (thread != null) {
      thread.quitSafely();
    }
  }

  private String backCamera() throws CameraAccessException {
    for (String id : manager.getCameraIdList()) {
      Integer facing = manager.getCameraCharacteristics(id).get(CameraCharacteristics.LENS_FACING);
      if (facing != null && facing == CameraCharacteristics.LENS_FACING_BACK) {
        return id;
      }
    }
    return null;
  }

  private static Size nearest(StreamConfigurationMap map) {
    Size[] sizes = map == null ? null : map.getOutputSizes(ImageFormat.YUV_420_888);
    Size best = new Size(640, 480); // every camera offers it
    for (Size size : sizes == null ? new Size[0] : sizes) {
      if (distance(size) < distance(best)) {
        best = size;
      }
    }
    return best;
  }

  private static long distance(Size size) {
    return Math.abs(size.getWidth() - WIDTH) + Math.abs(size.getHeight() - HEIGHT);
  }

  private synchronized void deliver(ImageReader source) {
    if (closed) {
      return;
    }
    try (Image image = source.acquireLatestImage()) {
      if (image != null) {
        Image.Plane luma = image.getPlanes()[0];
        ByteBuffer rows = luma.getBuffer();
        listener.onFrame(GreyFrame.fromLuma(rows, image.getWidth(), image.getHeight(), luma.getRowStride(), turnDegrees));
      }
    }
  }

  private synchronized void start(CameraDevice opened) {
    if (closed) {
      opened.close();
      return;
    }
    camera = opened;
    try {
      camera.createCaptureSession(Collections.singletonList(reader.getSurface()), new Configured(), handler);
    } catch (CameraAccessException | IllegalStateException e) {
      listener.onCameraError(String.valueOf(e.getMessage()));
    }
  }

  private synchronized void repeat(CameraCaptureSession session) {
    if (closed) {
      return;
    }
    try {
      CaptureRequest.Builder request = camera.createCaptureRequest(CameraDevice.TEMPLATE_PREVIEW);
      request.addTarget(reader.getSurface());
      session.setRepeatingRequest(request.build(), null, handler);
    } catch (CameraAccessException | IllegalStateException e) {
      listener.onCameraError(String.valueOf(e.getMessage()));
    }
  }

  private final class Opened extends CameraDevice.StateCallback {
    @Override
    public void onOpened(CameraDevice opened) {
      start(opened);
    }

    @Override
    public void onDisconnected(CameraDevice lost) {
      lost.close();
      listener.onCameraError("another app took the camera");
    }

    @Override
    public void onError(CameraDevice failed, int code) {
      failed.close();
      listener.onCameraError("the camera failed with code " + code);
    }
  }

  private final class Configured extends CameraCaptureSession.StateCallback {
    @Override
    public void onConfigured(CameraCaptureSession session) {
      repeat(session);
    }

    @Override
    public void onConfigureFailed(CameraCaptureSession session) {
      listener.onCameraError("the camera refused the frame size");
    }
  }
}
