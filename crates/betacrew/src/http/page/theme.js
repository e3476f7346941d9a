// Light or dark colours: the system's, or the chosen ones. No module, because modules run after the
// first paint, which would flash in the wrong colours.
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
  const system = matchMedia("(prefers-color-scheme: dark)");
  // The style sheet knows no system colours, so that its dark colours stand in one place.
  const apply = () => {
    const automatic = system.matches ? "dark" : "light";
    document.documentElement.dataset.theme = chosen === "auto" ? automatic : chosen;
    dispatchEvent(new Event("theme"));
  };
  apply();
  system.addEventListener("change", apply);
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
        // Storage may be forbidden: the choice then lasts for this page only.
      }
      show();
      apply();
    });
  });
})();
