// Small plots of a series: stacked bars or lines over time, with a pointer that also arrow keys move.

import { el, svg } from "/static/dom.js";

const HEIGHT = 168;
const EDGE = { top: 10, right: 6, bottom: 22, left: 44 };
const MOST_TIME_LABELS = 6;

/**
 * One plot. `spec`: title, kind ("bars" | "lines"), lines: [{key, label, tone}] with tone a CSS class,
 * show(value) → text, axis(value) → short text, headline(buckets) → text next to the title, note: what to
 * know about the numbers.
 */
export class Chart {
  constructor(spec) {
    this.spec = spec;
    this.buckets = [];
    this.label = String;
    this.at = null;
    this.headline = el("p", { class: "headline" });
    this.tip = el("div", { class: "tip", hidden: true });
    this.plot = svg("svg", { class: "plot", role: "img", tabindex: "0", height: HEIGHT });
    this.spoken = el("p", { class: "unseen", "aria-live": "polite" });
    this.node = el("figure", { class: "card chart" },
      el("figcaption", {}, el("h3", {}, spec.title), this.headline, this.key()),
      el("div", { class: "plot-box" }, this.plot, this.tip), this.spoken);
    this.listen();
  }

  key() {
    const items = this.spec.lines.map(({ label, tone }) =>
      el("li", {}, el("span", { class: `swatch ${tone}` }), label));
    const note = this.spec.note ? el("li", { class: "note" }, this.spec.note) : null;
    return this.spec.lines.length > 1 ? el("ul", { class: "key-list" }, items, note) : null;
  }

  listen() {
    this.plot.addEventListener("pointermove", (event) => this.point(this.indexAt(event)));
    this.plot.addEventListener("pointerleave", () => this.point(null));
    this.plot.addEventListener("blur", () => this.point(null));
    this.plot.addEventListener("keydown", (event) => this.step(event));
    new ResizeObserver(() => this.draw()).observe(this.plot.parentElement);
  }

  /** `label(bucket)` names a bucket's time; `tick(bucket)` is the short form on the axis. */
  update(buckets, label, tick) {
    Object.assign(this, { buckets, label, tick });
    this.headline.textContent = this.spec.headline(buckets);
    this.plot.setAttribute("aria-label",
      `${this.spec.title}: ${this.headline.textContent}. Arrow keys read single values.`);
    this.draw();
  }

  draw() {
    this.width = this.plot.parentElement.clientWidth;
    if (!this.width || !this.buckets.length) return;
    this.plot.setAttribute("width", this.width);
    this.plot.setAttribute("viewBox", `0 0 ${this.width} ${HEIGHT}`);
    this.ceiling = niceCeiling(this.highest());
    this.plot.replaceChildren(...this.grid(), ...this.times(), ...this.marks());
    this.cursor = svg("line", { class: "cursor", y1: EDGE.top, y2: HEIGHT - EDGE.bottom });
    this.plot.append(this.cursor);
    this.point(this.at);
  }

  highest() {
    const { kind, lines } = this.spec;
    const height = kind === "bars"
      ? (bucket) => lines.reduce((sum, { key }) => sum + (read(bucket, key) ?? 0), 0)
      : (bucket) => Math.max(0, ...lines.map(({ key }) => read(bucket, key) ?? 0));
    return Math.max(0, ...this.buckets.map(height));
  }

  get slot() {
    return (this.width - EDGE.left - EDGE.right) / this.buckets.length;
  }

  x(index) {
    return EDGE.left + (index + 0.5) * this.slot;
  }

  y(value) {
    const room = HEIGHT - EDGE.top - EDGE.bottom;
    return EDGE.top + room * (1 - value / this.ceiling);
  }

  grid() {
    return [0, 0.5, 1].flatMap((part) => {
      const value = this.ceiling * part;
      const y = this.y(value);
      return [
        svg("line", { class: "grid", x1: EDGE.left, x2: this.width - EDGE.right, y1: y, y2: y }),
        svg("text", { class: "axis", x: EDGE.left - 8, y: y + 4, "text-anchor": "end" },
          this.spec.axis(value)),
      ];
    });
  }

  times() {
    const many = Math.max(2, Math.min(MOST_TIME_LABELS, Math.floor(this.width / 100)));
    const every = Math.ceil(this.buckets.length / many);
    const last = this.buckets.length - 1;
    return this.buckets.flatMap((bucket, index) =>
      (last - index) % every || this.x(index) < EDGE.left + 12 ? [] : [svg("text", {
        class: "axis", y: HEIGHT - 4, x: index === last ? this.width - EDGE.right : this.x(index),
        "text-anchor": index === last ? "end" : "middle",
      }, this.tick(bucket))]);
  }

  marks() {
    return this.spec.kind === "bars"
      ? this.buckets.flatMap((bucket, index) => this.bar(bucket, index))
      : this.spec.lines.flatMap((line) => this.line(line));
  }

  bar(bucket, index) {
    const width = Math.max(1, Math.min(18, this.slot * 0.7));
    let floor = 0;
    return this.spec.lines.flatMap(({ key, tone }) => {
      const value = read(bucket, key) ?? 0;
      if (!value) return [];
      const bottom = this.y(floor);
      floor += value;
      const top = Math.min(this.y(floor), bottom - 1);
      return [svg("rect", {
        class: `mark ${tone}`, x: this.x(index) - width / 2, y: top, width, height: bottom - top,
        rx: Math.min(2, width / 3),
      })];
    });
  }

  line({ key, tone }) {
    const points = this.buckets.map((bucket, index) => {
      const value = read(bucket, key);
      return value === null ? null : [this.x(index), this.y(value)];
    });
    const runs = unbroken(points);
    const paths = runs.filter((run) => run.length > 1).map((run) =>
      svg("path", { class: `stroke ${tone}`, d: `M${run.map((p) => p.join(" ")).join("L")}` }));
    const dots = runs.filter((run) => run.length === 1 || this.buckets.length <= 60).flat().map(([cx, cy]) =>
      svg("circle", { class: `mark ${tone}`, cx, cy, r: 2.2 }));
    return [...paths, ...dots];
  }

  indexAt(event) {
    const box = this.plot.getBoundingClientRect();
    const index = Math.floor((event.clientX - box.left - EDGE.left) / this.slot);
    return index >= 0 && index < this.buckets.length ? index : null;
  }

  step(event) {
    const last = this.buckets.length - 1;
    const from = this.at ?? last + 1;
    const to = { ArrowLeft: from - 1, ArrowRight: from + 1, Home: 0, End: last, Escape: null }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.point(to === null ? null : Math.max(0, Math.min(last, to)));
    this.spoken.textContent = this.at === null ? "" : this.tip.innerText.replaceAll("\n", ", ");
  }

  /** Show the values of one bucket; None hides them. */
  point(index) {
    this.at = index !== null && index < this.buckets.length ? index : null;
    this.tip.hidden = this.at === null;
    this.cursor?.classList.toggle("on", this.at !== null);
    if (this.at === null) return;
    const bucket = this.buckets[this.at];
    const rows = this.spec.lines.map(({ key, label, tone }) => el("p", {},
      el("span", { class: `swatch ${tone}` }), `${label} ${this.spec.show(read(bucket, key))}`));
    this.tip.replaceChildren(el("p", { class: "tip-time" }, this.label(bucket)), ...rows);
    const x = this.x(this.at);
    this.cursor.setAttribute("x1", x);
    this.cursor.setAttribute("x2", x);
    const room = this.width - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(0, Math.min(room, x - this.tip.offsetWidth / 2))}px`;
  }
}

/** `key`: a field's name, or a function of the bucket. Null when there is nothing to show. */
export function read(bucket, key) {
  return (typeof key === "function" ? key(bucket) : bucket[key]) ?? null;
}

/** The next of 1, 2, 4, 5, 10, 20 … that is not below `value`; halves of it read well, too. */
export function niceCeiling(value) {
  if (value <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= value * 0.9999);
}

/** Cut at the gaps. */
export function unbroken(points) {
  const runs = [[]];
  for (const point of points) {
    if (point === null) runs.push([]);
    else runs.at(-1).push(point);
  }
  return runs.filter((run) => run.length);
}
