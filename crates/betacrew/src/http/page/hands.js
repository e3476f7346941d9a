// What hands do to the strip: keys, wheel, dragging, buttons. Each changes the view, then `moved`
// is called.

/** `loss(1)` goes to the next loss, `loss(-1)` to the one before. */
export function hands(root, view, moved, loss) {
  const plot = root.querySelector(".plot");
  const small = root.querySelector(".whole");
  const acts = {
    follow: () => view.follow(!view.following),
    all: () => view.all(),
    in: () => view.zoom(0.5, 0.5),
    out: () => view.zoom(2, 0.5),
    next: () => loss(1),
    previous: () => loss(-1),
  };
  root.querySelector(".tools").addEventListener("click", (event) => {
    const act = acts[event.target.closest("button")?.dataset.do];
    if (!act) return;
    act();
    moved();
  });
  keys(plot, view, acts, moved);
  wheel(plot, view, moved);
  drag(plot, view, moved);

  const jump = (event) => {
    const box = small.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    view.centre(view.first + share * (view.last - view.first));
    moved();
  };
  small.addEventListener("pointerdown", (event) => {
    small.setPointerCapture(event.pointerId);
    jump(event);
  });
  small.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) jump(event);
  });
}

/** What has keys of its own: fields, and regions that arrows scroll. */
const OWN_KEYS = "input, select, textarea, [contenteditable], dialog, .scroll";

function keys(plot, view, acts, moved) {
  const anywhere = {
    ArrowLeft: (far) => view.pan(-view.span * far),
    ArrowRight: (far) => view.pan(view.span * far),
    "+": acts.in, "=": acts.in, "-": acts.out, 0: acts.all, f: acts.follow, F: acts.follow,
    "[": acts.previous, "]": acts.next,
  };
  // These move the page where the strip is not what has the focus.
  const focused = {
    PageUp: () => view.pan(-view.span),
    PageDown: () => view.pan(view.span),
    Home: () => view.pan(-view.from),
    End: () => view.follow(true),
  };
  document.addEventListener("keydown", (event) => {
    const on = plot.contains(event.target);
    const act = anywhere[event.key] ?? (on ? focused[event.key] : undefined);
    const taken = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
    if (!act || taken || (!on && event.target.closest(OWN_KEYS))) return;
    event.preventDefault();
    act(event.shiftKey ? 0.5 : 0.1);
    moved();
  });
}

function wheel(plot, view, moved) {
  plot.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === 0 ? 1 : 16;
    const [x, y] = [event.deltaX * lines, event.deltaY * lines];
    const box = plot.getBoundingClientRect();
    if (Math.abs(x) > Math.abs(y) || event.shiftKey) {
      view.pan(((x || y) / box.width) * view.span);
    } else {
      const factor = 1.0015 ** Math.max(-400, Math.min(400, y));
      view.zoom(factor, (event.clientX - box.left) / box.width);
    }
    moved();
  }, { passive: false });
}

function drag(plot, view, moved) {
  let held = null;
  plot.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.setPointerCapture(event.pointerId);
    held = event.clientX;
  });
  plot.addEventListener("pointermove", (event) => {
    if (held === null || event.clientX === held) return;
    view.pan(((held - event.clientX) / plot.clientWidth) * view.span);
    held = event.clientX;
    moved();
  });
  const release = () => { held = null; };
  plot.addEventListener("pointerup", release);
  plot.addEventListener("pointercancel", release);
}
