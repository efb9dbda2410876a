// Labels that hide the text they label, and a list role around entries that are none: readers of the page
// by ear get what the eye gets.
document.addEventListener("DOMContentLoaded", () => {
  for (const element of document.querySelectorAll("summary[aria-label], .search-button-field")) {
    element.removeAttribute("aria-label");
  }
  for (const element of document.querySelectorAll(".citation-list")) {
    element.removeAttribute("role");
  }
});
