// A label that hides the text it labels goes (the theme writes this one with a script), what scrolls can be reached
// with the tab key, and what does not is no stop on the way.
window.addEventListener("load", () => {
  document.querySelector(".search-button-field")?.removeAttribute("aria-label");
  const reach = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const scrolling =
    ".pst-scrollable-table-container, div.math > mjx-container, div.math, div.glance, pre, .cell_output > .output";
  // Formulas are there once MathJax has set them.
  Promise.resolve(window.MathJax?.startup?.promise).then(() => {
    for (const element of document.querySelectorAll(scrolling)) reach.observe(element);
  });
});
// Paper has no folds.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
window.addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
