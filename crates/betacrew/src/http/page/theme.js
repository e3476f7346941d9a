// Light or dark: as the system has it, or as chosen here. Not a module, so that the first thing
// painted has the right colours already.
(() => {
  const choices = ["auto", "light", "dark"];
  const remembered = () => {
    try {
      return localStorage.getItem("theme") ?? "auto";
    } catch {
      return "auto"; // Storage may be forbidden.
    }
  };
  let chosen = remembered();
  const apply = () => {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    dispatchEvent(new Event("theme"));
  };
  apply();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", apply);
  addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      button.textContent = { auto: "◐ Auto", light: "○ Light", dark: "● Dark" }[chosen];
      button.setAttribute("aria-label", `Colours: ${chosen}`);
    };
    show();
    button.addEventListener("click", () => {
      chosen = choices[(choices.indexOf(chosen) + 1) % choices.length];
      try {
        localStorage.setItem("theme", chosen);
      } catch {
        // Then for this page only.
      }
      show();
      apply();
    });
  });
})();
