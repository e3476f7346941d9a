// Layout check: no element overflows its parent, and no text is cut off.

import { systemColours } from "./pages.mjs";

/** Widths of the checked windows, from a phone's to a large screen's. */
export const WIDTHS = [360, 400, 800, 1100, 1280, 1400, 1920];

/** Describes the elements that do not fit. Runs in the page. */
function misfits() {
  const found = [];
  const name = (element) => {
    const own = element.id ? `#${element.id}` : element.className ? `.${element.className}` : "";
    const inside = element.closest("[id]")?.id;
    return `${inside ? `#${inside} ` : ""}${element.localName}${own} "${
      element.textContent.trim().slice(0, 40)}"`;
  };
  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) found.push(`the page is ${wide} pixels too wide`);
  // Exceptions: bars longer than their scale, and elements for screen readers only.
  const meant = ".timeline, .timeline *, .unseen, .unseen *, .skip, .cards thead, " +
    ".cards thead *, .uplot *, option";
  for (const element of document.querySelectorAll("body *")) {
    if (element.matches(meant) || !element.checkVisibility()) continue;
    const style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    if (style.display !== "inline" && element.clientWidth > 0 &&
      element.scrollWidth > element.clientWidth + 1) {
      found.push(`${name(element)}: ${element.scrollWidth} wide in ${element.clientWidth}`);
    }
    if (["hidden", "clip"].includes(style.overflowY) &&
      element.scrollHeight > element.clientHeight + 1) {
      found.push(`${name(element)}: ${element.scrollHeight} high in ${element.clientHeight}`);
    }
    const around = element.parentElement.closest("main section, header, footer, td, li, div, dl");
    const room = around?.getBoundingClientRect();
    if (room && (box.left < room.left - 1 || box.right > room.right + 1)) {
      found.push(`${name(element)}: ${box.left}-${box.right} in ${room.left}-${room.right}`);
    }
  }
  return found;
}

/** Checks all widths, in light and in dark colours. Returns what does not fit. */
export async function everywhere(page) {
  const found = [];
  for (const colorScheme of ["light", "dark"]) {
    await systemColours(page, colorScheme);
    for (const width of WIDTHS) {
      await page.setViewportSize({ width, height: 900 });
      // Wait until the charts are drawn at this width.
      await page.waitForFunction(() => [...document.querySelectorAll(".chart")].every((chart) =>
        Math.abs(chart.firstElementChild?.offsetWidth - chart.clientWidth) < 1),
      null, { polling: 50 });
      const here = await page.evaluate(misfits);
      found.push(...here.map((what) => `${colorScheme}, ${width}: ${what}`));
    }
  }
  return found;
}
