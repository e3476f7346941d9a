// Helpers for elements that are updated four times a second. Unchanged elements are not touched.

/** Creates an element with attributes, text and children. */
export function make(name, { text, ...attributes } = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text != null) element.textContent = text;
  element.append(...children);
  return element;
}

/** Sets an element's text, if it differs. */
export function setText(element, text) {
  if (element.textContent !== String(text)) element.textContent = text;
}

/** Sets an element's attribute, if it differs. */
export function setAttr(element, name, value) {
  if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Creates a table row with a cell of each class; `names` label cells if the head is hidden. */
export function tableRow(columns, names = []) {
  return make("tr", {}, ...columns.map((kind, index) => make("td", {
    ...(kind && { class: kind }), ...(names[index] && { "data-name": names[index] }) })));
}

/** Returns the names of a table's columns. */
export const columnNames = (root) =>
  [...root.querySelectorAll("thead th")].map((th) => th.textContent);

/**
 * Keeps the children of `parent` in step with `list`: `key` identifies an item, `create` makes its
 * child, `fill` updates the child.
 */
export function syncChildren(parent, list, key, create, fill) {
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
