package io.mlbench.harness;

import android.content.Context;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Paint;
import android.graphics.RectF;
import android.view.View;
import java.nio.ByteBuffer;
import org.opencv.core.Rect;

/** Draws the frame that the network saw, the face box, the points, and one line of text. */
final class LandmarkView extends View {
  private static final float TEXT_SHARE = 1 / 24f;

  private final Paint grey = new Paint(Paint.FILTER_BITMAP_FLAG);
  private final Paint marks = new Paint(Paint.ANTI_ALIAS_FLAG);
  private final RectF target = new RectF();

  private Bitmap bitmap;
  private Rect box;
  private float[] points;
  private int cropSide;
  private String text = "";

  LandmarkView(Context context) {
    super(context);
    setBackgroundColor(Color.BLACK);
    grey.setColor(Color.WHITE); // an ALPHA_8 bitmap is a mask: white through it on black is the grey picture
  }

  /** Shows a line of text, with whatever picture there is. */
  void say(String line) {
    text = line;
    invalidate();
  }

  String text() {
    return text;
  }

  /** Shows a frame; box and points may be null; points are in pixels of a crop of `side`. */
  void show(GreyFrame frame, FramePipeline.Result found, int side, String line) {
    if (bitmap == null || bitmap.getWidth() != frame.width || bitmap.getHeight() != frame.height) {
      bitmap = Bitmap.createBitmap(frame.width, frame.height, Bitmap.Config.ALPHA_8);
    }
    bitmap.copyPixelsFromBuffer(ByteBuffer.wrap(frame.pixels));
    box = found.box;
    points = found.points;
    cropSide = side;
    say(line);
  }

  @Override
  protected void onDraw(Canvas canvas) {
    super.onDraw(canvas);
    if (bitmap != null) {
      float scale = Math.min(getWidth() / (float) bitmap.getWidth(), getHeight() / (float) bitmap.getHeight());
      target.set(0, 0, bitmap.getWidth() * scale, bitmap.getHeight() * scale);
      canvas.drawBitmap(bitmap, null, target, grey);
      if (box != null) {
        drawFace(canvas, scale);
      }
    }
    marks.setStyle(Paint.Style.FILL);
    marks.setColor(Color.YELLOW);
    marks.setTextSize(getHeight() * TEXT_SHARE);
    canvas.drawText(text, marks.getTextSize() / 2, getHeight() - marks.getTextSize(), marks);
  }

  private void drawFace(Canvas canvas, float scale) {
    marks.setStyle(Paint.Style.STROKE);
    marks.setStrokeWidth(2);
    marks.setColor(Color.GREEN);
    canvas.drawRect(box.x * scale, box.y * scale, (box.x + box.width) * scale, (box.y + box.height) * scale, marks);
    marks.setStyle(Paint.Style.FILL);
    for (int i = 0; i + 1 < points.length; i += 2) {
      float x = box.x + points[i] * box.width / cropSide;
      float y = box.y + points[i + 1] * box.height / cropSide;
      canvas.drawCircle(x * scale, y * scale, 3, marks);
    }
  }
}
