// Input of the strip: keys, wheel, dragging and buttons. Each changes the view, then calls
// `moved`.

/** `find(1)` goes to the next cell with a drop or a gap, `find(-1)` to the previous one. */
export function stripInput(root, view, moved, find) {
  const plot = root.querySelector(".plot");
  const overview = root.querySelector(".whole");
  const actions = {
    follow: () => view.follow(!view.following),
    all: () => view.all(),
    in: () => view.zoom(0.5, 0.5),
    out: () => view.zoom(2, 0.5),
    next: () => find(1),
    previous: () => find(-1),
  };
  root.querySelector(".tools").addEventListener("click", (event) => {
    const action = actions[event.target.closest("button")?.dataset.do];
    if (!action) return;
    action();
    moved();
  });
  keys(plot, view, actions, moved);
  wheel(plot, view, moved);
  drag(plot, view, moved);

  const jump = (event) => {
    const box = overview.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    view.centre(view.first + share * (view.last - view.first));
    moved();
  };
  overview.addEventListener("pointerdown", (event) => {
    overview.setPointerCapture(event.pointerId);
    jump(event);
  });
  overview.addEventListener("pointermove", (event) => {
    if (event.buttons & 1) jump(event);
  });
}

/** Elements that handle keys themselves: fields, and regions that arrows scroll. */
const OWN_KEYS = "input, select, textarea, [contenteditable], dialog, .scroll";

function keys(plot, view, actions, moved) {
  const anywhere = {
    ArrowLeft: (far) => view.pan(-view.span * far),
    ArrowRight: (far) => view.pan(view.span * far),
    "+": actions.in, "=": actions.in, "-": actions.out, 0: actions.all,
    f: actions.follow, F: actions.follow,
    "[": actions.previous, "]": actions.next,
  };
  // Without the focus on the strip these keys scroll the page.
  const focused = {
    PageUp: () => view.pan(-view.span),
    PageDown: () => view.pan(view.span),
    Home: () => view.pan(-view.from),
    End: () => view.follow(true),
  };
  document.addEventListener("keydown", (event) => {
    const on = plot.contains(event.target);
    const action = anywhere[event.key] ?? (on ? focused[event.key] : undefined);
    const taken = event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey;
    if (!action || taken || (!on && event.target.closest(OWN_KEYS))) return;
    event.preventDefault();
    action(event.shiftKey ? 0.5 : 0.1);
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
