package io.mlbench.harness;

import java.util.ArrayList;
import java.util.List;
import org.json.JSONException;
import org.json.JSONObject;
import org.opencv.core.Mat;

/**
 * Follows faces through a video: detects once, then crops by the landmarks of the frame before. The same steps as the
 * host's `mlbench.faces.tracking`, by the rules that the host tells.
 */
final class Tracker {
  /** The boxes in a grey frame, the largest first. */
  interface Detect {
    List<Box> boxes(Mat grey);
  }

  /** What the network sees in a box of a grey frame. */
  interface LookAt {
    Look at(Mat grey, Box box);
  }

  /** A face that is followed, and where it is cut next. */
  private static final class Track {
    final int number;
    final OneEuro filter; // null: not smoothed
    Box box;
    Look seen;
    int unseen; // searches in a row that did not find it

    Track(int number, OneEuro filter) {
      this.number = number;
      this.filter = filter;
    }
  }

  /** What was seen in a box, and the box of what was seen. */
  private static final class Found {
    final Box box;
    final Look seen;

    Found(Box box, Look seen) {
      this.box = box;
      this.seen = seen;
    }
  }

  private final Detect detect;
  private final LookAt look;
  private final int every;
  private final int idle;
  private final int most;
  private final double again;
  private final double lost;
  private final double same;
  private final double inside;
  private final int patience;
  private final BoxMap toBox;
  private final JSONObject smoothing;

  private List<Track> tracks = new ArrayList<>();
  private int numbers;
  private int since; // frames since the last search

  Tracker(Detect detect, LookAt look, JSONObject rules) throws JSONException {
    this.detect = detect;
    this.look = look;
    every = rules.getInt("every");
    idle = Math.min(every, rules.getInt("idle"));
    since = idle; // the first frame is searched
    most = rules.getInt("most");
    again = rules.getDouble("again");
    lost = rules.getDouble("lost");
    same = rules.getDouble("same");
    inside = rules.getDouble("inside");
    patience = rules.getInt("patience");
    toBox = new BoxMap(rules.getJSONObject("to_box"));
    smoothing = rules.optJSONObject("smoothing");
    if (smoothing != null) {
      new OneEuro(smoothing); // says now what is missing
    }
  }

  /** The faces of the next frame, which was taken at a time. */
  List<Face> step(Mat grey, double seconds) {
    boolean lostOne = follow(grey);
    since++;
    if (lostOne || since >= (tracks.isEmpty() ? idle : every)) {
      search(grey);
    }
    List<Face> faces = new ArrayList<>();
    for (Track track : tracks) {
      double[] points = track.seen.points;
      double[] shown = track.filter == null ? points : track.filter.smooth(points, seconds);
      faces.add(new Face(track.number, track.box, shown, track.seen.presence));
    }
    return faces;
  }

  /** Looks at each face where it was; whether one was lost. */
  private boolean follow(Mat grey) {
    List<Track> kept = new ArrayList<>();
    for (Track track : tracks) {
      Found found = seen(grey, track.box);
      if (found != null && !taken(found.box, kept)) {
        track.box = found.box;
        track.seen = found.seen;
        kept.add(track);
      }
    }
    boolean lostOne = kept.size() < tracks.size();
    tracks = kept;
    return lostOne;
  }

  /** Searches the frame for new faces, and for those that are followed. */
  private void search(Mat grey) {
    since = 0;
    List<Box> boxes = detect.boxes(grey);
    List<Track> kept = new ArrayList<>();
    for (Track track : tracks) {
      track.unseen = overlapsOne(track.box, boxes) ? 0 : track.unseen + 1;
      if (!Double.isNaN(track.seen.presence) || track.unseen < patience) {
        kept.add(track);
      }
    }
    tracks = kept;
    for (Box box : boxes) {
      if (tracks.size() < most && !taken(box, tracks)) {
        begin(grey, box);
      }
    }
  }

  private void begin(Mat grey, Box box) {
    Found found = seen(grey, box);
    if (found != null && !taken(found.box, tracks)) {
      Track track = new Track(++numbers, filter());
      track.box = found.box;
      track.seen = found.seen;
      tracks.add(track);
    }
  }

  private OneEuro filter() {
    try {
      return smoothing == null ? null : new OneEuro(smoothing);
    } catch (JSONException e) {
      throw new IllegalStateException("the constructor has read it", e);
    }
  }

  /** The face in a box; null where it is refused. */
  private Found seen(Mat grey, Box box) {
    if (!inFrame(box, grey)) {
      return null;
    }
    Look answer = look.at(grey, box);
    Box moved = toBox.box(answer.points);
    if (lost <= box.overlap(moved) && box.overlap(moved) < again && inFrame(moved, grey)) {
      box = moved;
      answer = look.at(grey, box);
      moved = toBox.box(answer.points);
    }
    boolean refused = !answer.shown || box.overlap(moved) < lost || !inFrame(moved, grey);
    return refused ? null : new Found(moved, answer);
  }

  private boolean inFrame(Box box, Mat grey) {
    return box.common(new Box(0, 0, grey.cols(), grey.rows())) >= inside * box.area();
  }

  private boolean taken(Box box, List<Track> by) {
    List<Box> boxes = new ArrayList<>();
    for (Track track : by) {
      boxes.add(track.box);
    }
    return overlapsOne(box, boxes);
  }

  private boolean overlapsOne(Box box, List<Box> boxes) {
    for (Box other : boxes) {
      if (box.overlap(other) >= same) {
        return true;
      }
    }
    return false;
  }
}
