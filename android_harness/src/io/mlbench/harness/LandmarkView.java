package io.mlbench.harness;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.RectF;
import android.view.View;
import java.nio.ByteBuffer;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/** Draws the frame that the network saw, each face's box, points, number and presence, and lines of text. */
final class LandmarkView extends View {
  private static final float TEXT_SHARE = 1 / 24f;
  private static final float LINE = 1.25f; // from one line to the next, in sizes of the text

  private final Paint grey = new Paint(Paint.FILTER_BITMAP_FLAG);
  private final Paint marks = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final RectF target = new RectF();

  private Bitmap bitmap;
  private List<Face> faces = Collections.emptyList();
  private String text = "";

  LandmarkView(Context context) {
    super(context);
    setBackgroundColor(Color.BLACK);
    grey.setColor(Color.WHITE); // an ALPHA_8 bitmap is a mask: white through it on black is the grey picture
  }

  /** Shows lines of text, with whatever picture there is. */
  void say(String lines) {
    text = lines;
    invalidate();
  }

  String text() {
    return text;
  }

  /** Shows a frame with its faces. */
  void show(GreyFrame frame, List<Face> found, String lines) {
    if (bitmap == null || bitmap.getWidth() != frame.width || bitmap.getHeight() != frame.height) {
      bitmap = Bitmap.createBitmap(frame.width, frame.height, Bitmap.Config.ALPHA_8);
    }
    bitmap.copyPixelsFromBuffer(ByteBuffer.wrap(frame.pixels));
    faces = found;
    say(lines);
  }

  @Override
  protected void onDraw(Canvas canvas) {
    super.onDraw(canvas);
    if (bitmap != null) {
      float scale = Math.min(getWidth() / (float) bitmap.getWidth(), getHeight() / (float) bitmap.getHeight());
      target.set(0, 0, bitmap.getWidth() * scale, bitmap.getHeight() * scale);
      canvas.drawBitmap(bitmap, null, target, grey);
      for (Face face : faces) {
        drawFace(canvas, face, scale);
      }
    }
    marks.setStyle(Paint.Style.FILL);
    marks.setColor(Color.YELLOW);
    float size = Math.min(getWidth(), getHeight()) * TEXT_SHARE;
    marks.setTextSize(size);
    String[] lines = text.split("\n");
    for (int i = 0; i < lines.length; i++) {
      canvas.drawText(lines[i], size / 2, getHeight() - LINE * size * (lines.length - i), marks);
    }
  }

  private void drawFace(Canvas canvas, Face face, float scale) {
    Box box = face.box;
    marks.setStyle(Paint.Style.STROKE);
    marks.setStrokeWidth(2);
    marks.setColor(Color.GREEN);
    canvas.drawRect(box.left * scale, box.top * scale, (box.left + box.width) * scale,
        (box.top + box.height) * scale, marks);
    marks.setStyle(Paint.Style.FILL);
    for (int i = 0; i + 1 < face.points.length; i += 2) {
      canvas.drawCircle((float) face.points[i] * scale, (float) face.points[i + 1] * scale, 3, marks);
    }
    String told = Double.isNaN(face.presence)
        ? String.valueOf(face.number)
        : String.format(Locale.ROOT, "%d: %.2f", face.number, face.presence);
    marks.setTextSize(Math.min(getWidth(), getHeight()) * TEXT_SHARE);
    canvas.drawText(told, box.left * scale, box.top * scale - 4, marks);
  }
}
