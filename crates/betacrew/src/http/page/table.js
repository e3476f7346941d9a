// Elements, and lists of them that change four times a second: what stays the same is not touched.

/** An element with a class, text and children. */
export function make(name, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text != null) element.textContent = text;
  element.append(...children);
  return element;
}

/** Sets text if it is another. */
export function say(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Sets an attribute if it is another. */
export function mark(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Cells of a row, numbers to the right. `names` are said by each where there is no head. */
export function row(columns, names = []) {
  return make("tr", {}, ...columns.map((kind, index) => make("td", {
    ...(kind && { class: kind }), ...(names[index] && { "data-name": names[index] }) })));
}

/** What the columns of a table are called. */
export const heads = (root) => [...root.querySelectorAll("thead th")].map((th) => th.textContent);

/**
 * Keeps the children of `parent` in step with `list`: `key` says which is which, `create` makes a
 * new child, `fill` brings one up to date.
 */
export function keep(parent, list, key, create, fill) {
  const kept = (parent.kept ??= new Map());
  const seen = new Set();
  let place = parent.firstElementChild;
  for (const item of list) {
    const name = key(item);
    if (seen.has(name)) continue;
    seen.add(name);
    let child = kept.get(name);
    if (child === undefined) kept.set(name, (child = create(item)));
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
    fill(child, item);
  }
  for (const [name, child] of kept) {
    if (seen.has(name)) continue;
    child.remove();
    kept.delete(name);
  }
}
