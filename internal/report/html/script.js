"use strict";
(() => {
  const $ = id => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const svgName = "http://www.w3.org/2000/svg";
  const two = n => String(n).padStart(2, "0");
  const seconds = s => {
    if (s < 10) return s.toFixed(1) + "s";
    const whole = Math.round(s), h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
    return h ? `${h}h ${two(m)}m ${two(whole % 60)}s` : m ? `${m}m ${two(whole % 60)}s` : `${whole}s`;
  };
  const make = (name, text) => { const e = document.createElement(name); e.textContent = text; return e; };

  // All parts of the page are made before the browser lays it out, and nothing here asks for a size: 500 images take one layout.
  const bars = [];
  for (const p of data.phases) bars.push({...p, outcome: "", id: "phase"});
  for (const image of data.images)
    for (const s of image.spans)
      if (s.lane) bars.push({...s, outcome: image.outcome, id: image.id + (image.what ? " (" + image.what + ")" : "")});
  const groups = ["build", "push", "look-up"]; // the slots that limit a run come first
  const order = lane => lane.replace(/(\S+) (\d+)$/, (_, name, n) => groups.indexOf(name) + " " + n.padStart(4, "0"));
  const phases = [...new Set(data.phases.map(p => p.lane))];
  const slots = [...new Set(bars.filter(b => b.kind !== "phase").map(b => b.lane))].sort((a, b) => order(a) < order(b) ? -1 : 1);
  const lanes = [...phases.map(p => "p " + p), ...slots.map(s => "s " + s)];
  const rowOf = new Map(lanes.map((lane, i) => [lane, i]));
  for (const b of bars) b.row = rowOf.get((b.kind === "phase" ? "p " : "s ") + b.lane);
  bars.sort((a, b) => a.row - b.row || a.start - b.start);

  const rowHeight = 16, chart = $("chart");
  let chosen = -1, axis, svg;
  function draw() {
    const width = Math.max(data.seconds, ...bars.map(b => b.start + b.seconds)) || 1;
    svg = document.createElementNS(svgName, "svg");
    svg.setAttribute("viewBox", `0 0 ${width} ${lanes.length * rowHeight}`);
    svg.setAttribute("preserveAspectRatio", "none");
    svg.setAttribute("height", lanes.length * rowHeight);
    svg.setAttribute("aria-hidden", "true");
    bars.forEach((b, i) => {
      const r = document.createElementNS(svgName, "rect");
      r.setAttribute("x", b.start); r.setAttribute("y", b.row * rowHeight + 1);
      r.setAttribute("width", Math.max(b.seconds - width / 2000, width / 1000)); // a gap between two, and none too small to see
      r.setAttribute("height", rowHeight - 2);
      r.setAttribute("class", `k-${b.kind} o-${b.outcome.split(" ")[0] || "none"}`);
      r.dataset.bar = i;
      b.rect = r;
      svg.append(r);
    });
    axis = document.createElement("div");
    axis.className = "axis";
    for (let i = 0; i < 5; i++) axis.append(make("span", seconds(width * i / 5)));
    chart.append(axis, svg);
    for (const lane of lanes) $("lanes").append(make("div", lane.slice(2)));
    $("timeline").hidden = $("timeline-tools").hidden = false;
    $("no-timeline").hidden = true;
    zoom();
    legend();
  }
  function zoom() {
    axis.style.width = svg.style.width = 100 * 2 ** $("zoom").value + "%";
  }
  const colours = {
    phase: [["k-native", "native build"], ["k-base", "eval-base, base stage"], ["k-push", "push"], ["k-look", "look-up, check"], ["k-wait", "wait"], ["k-other", "other"]],
    outcome: [["o-built", "built"], ["o-failed", "failed"], ["o-present", "present"], ["o-cancelled", "cancelled, not started"], ["o-beside", "beside images"]],
  };
  function legend() {
    const by = $("colour").value;
    for (const e of [svg, $("legend")]) e.classList.toggle("by-outcome", by === "outcome");
    $("legend").replaceChildren(...colours[by].map(([name, text]) => {
      const item = make("span", ""), box = document.createElementNS(svgName, "svg"), r = document.createElementNS(svgName, "rect");
      r.setAttribute("width", 12); r.setAttribute("height", 12); r.setAttribute("class", name);
      box.append(r); item.append(box, text);
      return item;
    }));
  }
  function choose(i, scroll) {
    if (chosen >= 0) bars[chosen].rect.classList.remove("chosen");
    chosen = i;
    const b = bars[i];
    b.rect.classList.add("chosen");
    svg.append(b.rect);
    $("bar").textContent = `${b.lane}: ${b.id}, ${b.phase}, ${seconds(b.seconds)} from ${seconds(b.start)}${b.outcome ? ", " + b.outcome : ""}`;
    if (scroll) b.rect.scrollIntoView({block: "nearest", inline: "nearest"});
  }
  if (bars.length) {
    draw();
    $("zoom").addEventListener("input", zoom);
    $("colour").addEventListener("change", legend);
    for (const event of ["click", "mousemove"])
      chart.addEventListener(event, e => { if (e.target.dataset.bar) choose(+e.target.dataset.bar, false); });
    chart.addEventListener("keydown", e => {
      const next = {ArrowRight: 1, ArrowLeft: -1}[e.key], row = {ArrowDown: 1, ArrowUp: -1}[e.key];
      if (e.key === "+" || e.key === "-") {
        $("zoom").value = +$("zoom").value + (e.key === "+" ? 1 : -1);
        zoom();
      } else if (e.key === "Home" || e.key === "End") {
        choose(e.key === "Home" ? 0 : bars.length - 1, true);
      } else if (next) {
        choose(Math.min(bars.length - 1, Math.max(0, chosen + next)), true);
      } else if (row) {
        const to = (chosen < 0 ? -1 : bars[chosen].row) + row, i = bars.findIndex(b => b.row === to);
        if (i >= 0) choose(i, true);
      } else return;
      e.preventDefault();
    });
  }

  const rows = [...$("table").tBodies[0].rows];
  for (const row of rows) row.text = row.textContent.toLowerCase();
  function filter() {
    const text = $("text").value.toLowerCase(), status = $("status").value, kind = $("class").value;
    let shown = 0;
    for (const row of rows) {
      row.hidden = !(row.text.includes(text) && (!status || row.dataset.status === status) && (!kind || row.dataset.class === kind));
      if (!row.hidden) shown++;
    }
    $("shown").textContent = `${shown} of ${rows.length}`;
  }
  $("filters").hidden = false;
  for (const id of ["text", "status", "class"]) $(id).addEventListener("input", filter);
  filter();

  // What an image did is listed when its row is opened.
  const spans = new Map(data.images.filter(i => !i.what).map(i => [i.id, i.spans]));
  $("table").addEventListener("toggle", e => {
    const list = e.target.querySelector(".spans"), id = e.target.querySelector("summary").textContent;
    if (list && !list.firstChild)
      list.append(...(spans.get(id) || []).map(s => make("li", `${s.phase}: ${seconds(s.seconds)} from ${seconds(s.start)}${s.lane ? ", " + s.lane : ""}`)));
  }, true);
})();
