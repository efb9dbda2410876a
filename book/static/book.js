// Readers by ear and by keyboard get what the eye gets: labels that hide the text they label go, and so does a
// list role around entries that are none; what scrolls can be reached with the tab key.
window.addEventListener("load", () => {
  for (const element of document.querySelectorAll("summary[aria-label], .search-button-field")) {
    element.removeAttribute("aria-label");
  }
  for (const element of document.querySelectorAll(".citation-list")) {
    element.removeAttribute("role");
  }
  for (const element of document.querySelectorAll(".pst-scrollable-table-container, div.math")) {
    element.tabIndex = 0;
  }
});
