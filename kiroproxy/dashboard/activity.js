// The plots over a span of time, and the same numbers as a table.

import { Chart, read } from "/static/chart.js";
import { byId, el } from "/static/dom.js";
import * as format from "/static/format.js";

const SPANS = {
  minute: { label: (b) => format.hourAndMinute(b.t), tick: (b) => format.hourAndMinute(b.t) },
  hour: {
    label: (b) => `${format.dayAndMonth(b.t)}, ${format.hourAndMinute(b.t)}`,
    tick: (b) => format.hourAndMinute(b.t),
  },
  day: { label: (b) => `${format.utcDayAndMonth(b.t)} (UTC)`, tick: (b) => format.utcDayAndMonth(b.t) },
};

const PER = { minute: "minute", hour: "hour", day: "day" };
const sum = (buckets, key) => buckets.reduce((total, bucket) => total + (read(bucket, key) ?? 0), 0);
const succeeded = (bucket) => bucket.requests - bucket.failures;

function latest(buckets, key, show) {
  const found = buckets.findLast((bucket) => read(bucket, key) !== null);
  return found ? `${show(read(found, key))} latest median` : "nothing measured";
}

const SPECS = [
  {
    title: "Requests", kind: "bars", show: format.count, axis: format.short,
    lines: [
      { key: succeeded, label: "not failed", tone: "tone-a" },
      { key: "failures", label: "failed", tone: "tone-bad" },
    ],
    headline: (b) => `${format.count(sum(b, "requests"))}, ${format.count(sum(b, "failures"))} failed`,
  },
  {
    title: "Tokens", kind: "bars", show: format.count, axis: format.short,
    lines: [
      { key: "input_tokens", label: "input", tone: "tone-a" },
      { key: "output_tokens", label: "output", tone: "tone-b" },
    ],
    headline: (b) =>
      `${format.short(sum(b, "input_tokens"))} in, ${format.short(sum(b, "output_tokens"))} out`,
    note: "reported, derived and estimated together",
  },
  {
    title: "Time to first token", kind: "lines", show: format.ms, axis: format.msShort,
    lines: [
      { key: "first_token_ms_p50", label: "median", tone: "tone-a" },
      { key: "first_token_ms_p95", label: "95th percentile", tone: "tone-b" },
    ],
    headline: (b) => latest(b, "first_token_ms_p50", format.ms),
  },
  {
    title: "Total time", kind: "lines", show: format.ms, axis: format.msShort,
    lines: [
      { key: "total_ms_p50", label: "median", tone: "tone-a" },
      { key: "total_ms_p95", label: "95th percentile", tone: "tone-b" },
    ],
    headline: (b) => latest(b, "total_ms_p50", format.ms),
  },
  {
    title: "Credits", kind: "bars", show: format.credits, axis: format.credits,
    lines: [{ key: "credits", label: "metered", tone: "tone-c" }],
    headline: (b) => `${format.credits(sum(b, "credits"))} metered by the service`,
  },
];

const COLUMNS = [
  ["Requests", "requests", format.count], ["Failed", "failures", format.count],
  ["Input tokens", "input_tokens", format.count], ["Output tokens", "output_tokens", format.count],
  ["Credits", "credits", format.credits],
  ["First token, median", "first_token_ms_p50", format.ms],
  ["First token, 95th", "first_token_ms_p95", format.ms],
  ["Total, median", "total_ms_p50", format.ms], ["Total, 95th", "total_ms_p95", format.ms],
];

export class Activity {
  constructor() {
    this.range = "minute";
    this.usage = null;
    this.grouping = "model";
    this.charts = SPECS.map((spec) => new Chart(spec));
    this.shares = el("div", { class: "card shares" });
    byId("charts").append(...this.charts.map((chart) => chart.node), this.shares);
    for (const button of byId("ranges").children) {
      button.addEventListener("click", () => this.choose(button.dataset.range));
    }
    byId("numbers").addEventListener("toggle", () => this.table());
  }

  choose(range) {
    this.range = range;
    for (const button of byId("ranges").children) {
      button.setAttribute("aria-pressed", String(button.dataset.range === range));
    }
    this.draw();
  }

  update(usage) {
    this.usage = usage;
    this.draw();
  }

  draw() {
    if (!this.usage) return;
    const buckets = this.usage.series[this.range];
    const { label, tick } = SPANS[this.range];
    for (const chart of this.charts) chart.update(buckets, label, tick);
    this.table();
    this.drawShares();
  }

  /** Only while it is open: nobody pays for a table that nobody sees. */
  table() {
    if (!this.usage || !byId("numbers").open) return;
    const { label } = SPANS[this.range];
    const rows = this.usage.series[this.range].filter((bucket) => bucket.requests).reverse();
    const head = el("tr", {}, el("th", { scope: "col" }, `By ${PER[this.range]}`),
      COLUMNS.map(([name]) => el("th", { scope: "col", class: "number" }, name)));
    const body = rows.map((bucket) => el("tr", {}, el("th", { scope: "row" }, label(bucket)),
      COLUMNS.map(([, key, show]) => el("td", { class: "number" }, show(bucket[key])))));
    byId("numbers-table").replaceChildren(el("thead", {}, head), el("tbody", {},
      body.length ? body : el("tr", {}, el("td", { colspan: COLUMNS.length + 1 }, "Nothing in this span."))));
  }

  drawShares() {
    const by = this.usage.by;
    this.shares.hidden = !by;
    if (!by) return;
    const head = el("div", { class: "section-head" }, el("h3", {}, "All kept requests"),
      el("div", { class: "segments small", role: "group", "aria-label": "Grouped by" },
        Object.keys(by).map((name) => el("button", {
          type: "button", "aria-pressed": String(name === this.grouping),
          onclick: () => this.group(name),
        }, name))));
    const rows = by[this.grouping].slice(0, 6);
    const most = Math.max(1, ...rows.map((row) => row.requests));
    const list = rows.map((row) => share(row, most));
    this.shares.replaceChildren(head,
      list.length ? el("ul", { class: "share-list" }, list) : el("p", { class: "empty" }, "Nothing yet."));
  }

  group(name) {
    this.grouping = name;
    this.drawShares();
    this.shares.querySelector('[aria-pressed="true"]').focus();
  }
}

function share(row, most) {
  const bar = el("span", { class: "share-bar" });
  bar.style.width = `${(row.requests / most) * 100}%`;
  const tokens = (row.input_tokens || 0) + (row.output_tokens || 0);
  return el("li", {},
    el("span", { class: "share-name" }, row.name || "none"),
    el("span", { class: "share-what" }, `${format.plural(row.requests, "request")} · ` +
      `${format.short(tokens)} tokens · ${format.credits(row.credits)} credits`),
    bar);
}
