"use strict";
// Draws the charts that the server drew as SVG once more, with a cursor: what is read
// stands in a line below, and the arrow keys move it. Without this script the SVG stays.
(() => {
  const percent = (v) => Number((v * 100).toPrecision(3)) + "\u202f%";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const moment = (at) => new Date(at * 1000).toISOString().replace("T", " ").slice(0, 19) + " UTC";
  // label is a moment on the axis whose labels are step seconds apart.
  const label = (at, step, span) => {
    const date = new Date(at * 1000), day = date.getUTCDate() + " " + "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")[date.getUTCMonth()];
    if (step >= 86400) return day;
    const time = date.toISOString().slice(11, step < 60 ? 19 : 16);
    return span > 86400 ? day + " " + time : time;
  };
  const volumeRoom = 0.3; // of the height of the rate, below it

  // reading says in words what stands at point i.
  const reading = (s, i) => {
    const end = i + 1 < s.at.length ? s.at[i + 1] : Infinity;
    let text = moment(s.at[i]) + ": " + (s.n[i] ? `${s.k[i]} of ${s.n[i]} diverge (${percent(s.rate[i])})` : "nothing was compared");
    if (s.upper && s.n[i]) text += `, limits so far ${percent(s.lower[i])} to ${percent(s.upper[i])}`;
    for (const m of s.marks || []) if (m.at >= s.at[i] && m.at < end) text += "; " + m.text;
    return text;
  };

  const line = (u, x0, y0, x1, y1, name, dash) => {
    const ctx = u.ctx;
    ctx.save();
    ctx.strokeStyle = colour(name);
    ctx.lineWidth = devicePixelRatio;
    ctx.setLineDash(dash.map((d) => d * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x0, y0);
    ctx.lineTo(x1, y1);
    ctx.stroke();
    ctx.restore();
  };

  // marks draws the threshold, and a line with a handle at each change.
  const marks = (u, s) => {
    const b = u.bbox;
    if (s.threshold) {
      const y = u.valToPos(s.threshold, "y", true);
      line(u, b.left, y, b.left + b.width, y, "bad", [5, 4]);
    }
    u.over.querySelectorAll(".mark").forEach((e) => e.remove());
    for (const m of s.marks || []) {
      const x = u.valToPos(m.at, "x", true);
      line(u, x, b.top, x, b.top + b.height, "muted", [2, 3]);
      const handle = document.createElement("span");
      handle.className = "mark";
      handle.title = moment(m.at) + ": " + m.text;
      handle.style.left = u.valToPos(m.at, "x") + "px";
      u.over.append(handle);
    }
  };

  const options = (s, width, height, moved) => {
    const most = Math.max(1, ...s.n);
    const axis = { stroke: () => colour("muted"), font: "11px system-ui, sans-serif", grid: { stroke: () => colour("line"), width: 1 }, ticks: { show: false } };
    const unseen = { stroke: "transparent", points: { show: false } };
    const series = [
      {},
      { scale: "n", fill: () => colour("chart-volume"), stroke: "transparent", width: 0, paths: uPlot.paths.bars({ size: [0.8] }), points: { show: false } },
      { scale: "y", stroke: () => colour("chart"), width: 1.75, points: { fill: () => colour("chart"), size: 5 } },
    ];
    if (s.upper) series.push({ scale: "y", ...unseen }, { scale: "y", ...unseen });
    return {
      width, height, series,
      bands: s.upper ? [{ series: [3, 4], fill: () => colour("chart-band") }] : [],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, y: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: {
        x: { time: true },
        y: { range: [-volumeRoom * s.top, s.top] },
        n: { range: [0, most * (1 + volumeRoom) / (volumeRoom * 0.8)] },
      },
      axes: [
        { ...axis, grid: { show: false }, space: 90, values: (u, at, i, space, step) => at.map((v) => label(v, step, s.at[s.at.length - 1] - s.at[0])) },
        { ...axis, scale: "y", size: 52, values: (u, at) => at.map(percent), splits: (u, i, min, max, step) => {
          const at = [];
          for (let v = 0; v <= max + step / 2; v += step) at.push(v);
          return at;
        } },
      ],
      hooks: { draw: [(u) => marks(u, s)], setCursor: [(u) => { if (u.cursor.idx != null) moved(u.cursor.idx); }] },
    };
  };

  const drawn = new Map(); // what lets go of a chart, by its host

  const draw = (host) => {
    const s = JSON.parse(host.dataset.series);
    const plot = document.createElement("div");
    const read = document.createElement("p");
    plot.className = "plot";
    plot.tabIndex = 0;
    // A slider over the points: it says its value where a canvas says nothing.
    for (const [name, value] of Object.entries({ role: "slider", "aria-label": s.summary, "aria-valuemin": 0, "aria-valuemax": s.at.length - 1 })) plot.setAttribute(name, value);
    read.className = "reading";
    read.setAttribute("aria-hidden", "true"); // the slider says the same
    let at = s.n.findLastIndex((n) => n > 0);
    if (at < 0) at = s.at.length - 1;
    const moved = (i) => {
      at = i;
      plot.setAttribute("aria-valuenow", i);
      plot.setAttribute("aria-valuetext", read.textContent = reading(s, i));
    };
    moved(at);
    host.append(plot, read);
    host.classList.add("drawn");
    const data = [s.at, s.n, s.rate, ...(s.upper ? [s.upper, s.lower] : [])];
    const height = () => (plot.clientWidth < 600 ? 190 : 230);
    let u;
    const anew = () => {
      if (u) u.destroy();
      u = new uPlot(options(s, plot.clientWidth, height(), moved), data, plot);
    };
    anew();
    const go = (i) => u.setCursor({ left: u.valToPos(s.at[i], "x"), top: u.valToPos(s.rate[i] || 0, "y") });
    plot.addEventListener("keydown", (e) => {
      const last = s.at.length - 1;
      const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, PageDown: at - 10, PageUp: at + 10, Home: 0, End: last }[e.key];
      if (to === undefined || e.ctrlKey || e.altKey || e.metaKey) return;
      e.preventDefault();
      go(Math.min(last, Math.max(0, to)));
    });
    plot.addEventListener("focus", () => go(at));
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", anew);
    const size = new ResizeObserver(() => { if (plot.clientWidth !== u.width) u.setSize({ width: plot.clientWidth, height: height() }); });
    size.observe(plot);
    drawn.set(host, () => {
      scheme.removeEventListener("change", anew);
      size.disconnect();
      u.destroy();
    });
  };

  // A chart that a swap takes out of the page is let go of, and one that it brings is drawn.
  document.querySelectorAll("[data-series]").forEach(draw);
  document.addEventListener("htmx:afterSwap", () => document.querySelectorAll("[data-series]:not(.drawn)").forEach(draw));
  document.addEventListener("htmx:beforeCleanupElement", (e) => {
    drawn.get(e.target)?.();
    drawn.delete(e.target);
  });
})();
