// Labels that hide the text that they label, lists without items, headers of nothing, parts of a page that another part
// repeats or that have no name: the theme's markup, mended for those who hear the page.
window.addEventListener("load", () => {
  const all = (selector) => document.querySelectorAll(selector);
  for (const label of all(".search-button-field, summary[aria-label]")) label.removeAttribute("aria-label");
  for (const list of all(".citation-list")) list.removeAttribute("role");
  for (const header of all("th")) if (!header.textContent.trim()) header.replaceWith(document.createElement("td"));
  for (const twice of all("#jb-print-docs-body, footer.bd-footer")) twice.remove();
  for (const footer of all("footer.prev-next-footer")) footer.role = "presentation";
  for (const contents of all("nav.page-toc")) contents.ariaLabel = "On this page";
  // What is to be ticked off can be, and has the name of what stands next to it.
  for (const box of all(".task-list-item-checkbox")) {
    box.disabled = false;
    box.ariaLabel = box.parentElement.textContent.trim();
  }
  // What scrolls can be reached with the tab key, and what does not is no stop on the way.
  const reach = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  const scrolling =
    ".pst-scrollable-table-container, div.math > mjx-container, div.math, pre, .cell_output > .output";
  // Formulas are there once MathJax has set them.
  Promise.resolve(window.MathJax?.startup?.promise).then(() => {
    for (const element of all(scrolling)) reach.observe(element);
  });
});
// Paper has no folds.
let folded = [];
window.addEventListener("beforeprint", () => {
  folded = [...document.querySelectorAll("details:not([open])")];
  for (const details of folded) details.open = true;
});
window.addEventListener("afterprint", () => folded.forEach((details) => (details.open = false)));
