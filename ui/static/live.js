"use strict";
// Keeps figures current and swaps filters in place. Pages are whole without this script:
// what it asks for are the same pages, of which htmx takes a part.
(() => {
  const every = 15000; // ms between two looks at the figures
  const region = () => document.getElementById("live");

  // atWork reports whether somebody reads or does something that a swap would disturb.
  const atWork = (r) => r.contains(document.activeElement) || !getSelection().isCollapsed || r.querySelector("details[open], .plot:hover") !== null;

  setInterval(() => {
    const r = region();
    if (r && !document.hidden && !atWork(r)) htmx.trigger(r, "refresh");
  }, every);

  // Figures are not put in where somebody has begun to do something meanwhile, nor where what
  // came is another page: the session is over, or Parallax cannot answer.
  document.addEventListener("htmx:beforeSwap", (e) => {
    const r = region();
    if (r === null || e.detail.requestConfig.elt !== r) return;
    if (!new DOMParser().parseFromString(e.detail.serverResponse, "text/html").getElementById("live")) {
      e.detail.shouldSwap = false;
      stale();
    } else if (atWork(r)) {
      e.detail.shouldSwap = false;
    }
  });

  // stale says beside the time of the page that its figures are of then.
  const stale = () => {
    const now = document.getElementById("page-time");
    if (now && !now.classList.contains("stale")) {
      now.classList.add("stale");
      now.append(", not current");
    }
  };
  document.addEventListener("htmx:sendError", stale);
  document.addEventListener("htmx:timeout", stale);

  // Who chose a filter by keyboard goes on from there.
  let chosen;
  document.addEventListener("htmx:beforeRequest", (e) => { chosen = e.detail.elt.closest("nav")?.getAttribute("aria-label"); });
  document.addEventListener("htmx:afterSettle", () => {
    if (chosen && document.activeElement === document.body) document.querySelector(`nav[aria-label="${CSS.escape(chosen)}"] a[aria-current]`)?.focus({ preventScroll: true });
    chosen = undefined;
  });
})();
