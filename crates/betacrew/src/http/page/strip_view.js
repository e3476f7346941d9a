// Range of sequences that the strip shows, without drawing.

/** Minimum number of sequences shown. */
const SPAN_MIN = 20;
/** Length of a session up to which all of it is shown at first. */
const SMALL = 1000;
/** Free space right of the live edge, as a share of the width. */
const MARGIN = 0.03;

export class StripView {
  first = 1;
  last = 0;
  /** Left edge, and number of sequences shown; fractions while dragging. */
  from = 1;
  span = 1000;
  following = true;
  /** True once the user has chosen a span. Until then the span grows with the session. */
  chosen = false;
  /** True if the whole session is shown, also while it grows. */
  showsAll = false;

  /** Sets the session's range, and its rate in packets a second. */
  setSession(first, last, rate) {
    const fresh = this.last === 0 || last < this.last;
    this.first = first;
    this.last = Math.max(last, first);
    if (fresh) this.chosen = this.showsAll = false;
    if (this.showsAll) this.span = this.widest;
    if (!this.chosen) {
      // Show all of a small session, or the last ten seconds of a fast one.
      const whole = this.last - this.first + 1;
      const most = Math.max(SMALL, rate * 10);
      this.span = Math.max(SPAN_MIN, Math.min(whole, most) / (1 - MARGIN));
    }
    if (this.following) this.edge();
  }

  /** Returns a copy of this view for the session's next range. */
  withSession(first, last, rate) {
    const view = Object.assign(new StripView(), this);
    view.setSession(first, last, rate);
    return view;
  }

  /** Notes that the user has chosen the span. */
  noteChoice() {
    this.chosen = true;
    this.showsAll = false;
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

  /** Pans by this number of sequences. At the live edge it follows again. */
  pan(by) {
    this.noteChoice();
    this.from += by;
    this.clamp();
  }

  /** Zooms around the position `at`, a share of the width. */
  zoom(factor, at) {
    this.noteChoice();
    const anchor = this.from + this.span * at;
    this.span = Math.min(this.widest, Math.max(SPAN_MIN, this.span * factor));
    if (this.following) this.edge();
    else {
      this.from = anchor - this.span * at;
      this.clamp();
    }
  }

  all() {
    this.chosen = this.showsAll = true;
    this.span = this.widest;
    this.follow(true);
  }

  /** Centres on this sequence, with at most `most` sequences shown. */
  centre(sequence, most = Infinity) {
    this.noteChoice();
    this.span = Math.max(SPAN_MIN, Math.min(this.span, most));
    this.following = false;
    this.from = sequence - this.span / 2;
    this.clamp();
  }

  clamp() {
    const edge = Math.max(this.first, this.last + 1 - this.span * (1 - MARGIN));
    this.following = this.from >= edge;
    this.from = Math.min(edge, Math.max(this.first, this.from));
  }

  /** Sequence from which the next drop or gap is searched: the middle, or the live edge. */
  get searchStart() {
    return this.following ? this.last + 1 : this.from + this.span / 2;
  }

  /** Returns the request for cells: aligned, at most one a pixel, with half a screen to either side
   * so that panning has cells to show. */
  cellRequest(pixels) {
    const width = Math.max(1, Math.ceil(this.span / pixels));
    const from = Math.max(this.first, this.from - this.span / 2);
    const begin = this.first + Math.floor((from - this.first) / width) * width;
    const end = Math.min(this.last, this.from + this.span * 1.5);
    const cells = Math.max(1, Math.min(4000, Math.ceil((end - begin + 1) / width)));
    return { from: begin, to: begin + cells * width - 1, cells };
  }
}
