// Which sequences the strip shows: numbers only, nothing is drawn here.

/** Narrower than so many sequences it does not get. */
const SPAN_MIN = 20;
/** A session up to this long is shown whole at first. */
const SMALL = 1000;
/** Free space right of the live edge, as a share of what is shown. */
const MARGIN = 0.03;

export class View {
  first = 1;
  last = 0;
  /** The left edge and how many sequences are shown; fractions while dragging. */
  from = 1;
  span = 1000;
  following = true;
  /** Whether somebody has chosen a span; until then it grows with the session. */
  chosen = false;
  /** Whether all of the session is to be seen, however long it grows. */
  whole = false;

  /** The session goes from `first` to `last`; `rate` is packets a second. */
  session(first, last, rate) {
    const fresh = this.last === 0 || last < this.last;
    this.first = first;
    this.last = Math.max(last, first);
    if (fresh) this.chosen = this.whole = false;
    if (this.whole) this.span = this.widest;
    if (!this.chosen) {
      // All of a small session, the last ten seconds of a fast one.
      const whole = this.last - this.first + 1;
      const most = Math.max(SMALL, rate * 10);
      this.span = Math.max(SPAN_MIN, Math.min(whole, most) / (1 - MARGIN));
    }
    if (this.following) this.edge();
  }

  /** This view of the session as it will be. */
  ahead(first, last, rate) {
    const view = Object.assign(new View(), this);
    view.session(first, last, rate);
    return view;
  }

  choose() {
    this.chosen = true;
    this.whole = false;
  }

  get widest() {
    return Math.max(SPAN_MIN, (this.last - this.first + 1) / (1 - MARGIN));
  }

  edge() {
    this.from = Math.max(this.first, this.last + 1 - this.span * (1 - MARGIN));
  }

  follow(on) {
    this.following = on;
    if (on) this.edge();
  }

  /** By so many sequences; at the live edge it follows again. */
  pan(by) {
    this.choose();
    this.from += by;
    this.settle();
  }

  /** Zooms around the place `at`, a share of the width. */
  zoom(factor, at) {
    this.choose();
    const anchor = this.from + this.span * at;
    this.span = Math.min(this.widest, Math.max(SPAN_MIN, this.span * factor));
    if (this.following) this.edge();
    else {
      this.from = anchor - this.span * at;
      this.settle();
    }
  }

  all() {
    this.chosen = this.whole = true;
    this.span = this.widest;
    this.follow(true);
  }

  /** Shows this sequence in the middle, and no more than `most` around it. */
  centre(sequence, most = Infinity) {
    this.choose();
    this.span = Math.max(SPAN_MIN, Math.min(this.span, most));
    this.following = false;
    this.from = sequence - this.span / 2;
    this.settle();
  }

  settle() {
    const edge = Math.max(this.first, this.last + 1 - this.span * (1 - MARGIN));
    this.following = this.from >= edge;
    this.from = Math.min(edge, Math.max(this.first, this.from));
  }

  /** Where losses are looked for from: the middle, or the live edge. */
  get here() {
    return this.following ? this.last + 1 : this.from + this.span / 2;
  }

  /** What to ask the program for: aligned cells of a whole width, at most one a pixel, with half a
   * screen to either side so that panning has something to show. */
  wanted(pixels) {
    const width = Math.max(1, Math.ceil(this.span / pixels));
    const from = Math.max(this.first, this.from - this.span / 2);
    const begin = this.first + Math.floor((from - this.first) / width) * width;
    const end = Math.min(this.last, this.from + this.span * 1.5);
    const cells = Math.max(1, Math.min(4000, Math.ceil((end - begin + 1) / width)));
    return { from: begin, to: begin + cells * width - 1, cells };
  }
}
