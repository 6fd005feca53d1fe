// The list of finished requests, newest first, and what went wrong among them.

import { getJson } from "/static/api.js";
import { byId, el } from "/static/dom.js";
import * as format from "/static/format.js";

const PAGE = 25;
const MOST_LIVE = 300; // new ones push old ones out; "Older requests" lifts that
const WORDS = { answered: "answered", failed: "failed", cancelled: "client left" };
const SOURCES = { reported: "reported by the service", derived: "derived from its context percentage",
  estimated: "estimated here" };

export class Requests {
  constructor() {
    this.all = [];
    this.open = new Set();
    this.most = MOST_LIVE;
    byId("only-failed").addEventListener("change", () => this.draw());
    byId("older").addEventListener("click", () => this.loadOlder());
  }

  /** The newest page; what had come live meanwhile stays. */
  async load() {
    const { requests } = await getJson(`/api/requests?limit=${PAGE}`);
    const known = new Set(requests.map(({ id }) => id));
    this.all = [...requests, ...this.all.filter(({ id }) => !known.has(id))]
      .sort((a, b) => b.time_epoch_s - a.time_epoch_s);
    byId("older").hidden = requests.length < PAGE;
    this.draw();
  }

  async loadOlder() {
    const last = this.all.at(-1);
    const { requests } = await getJson(`/api/requests?limit=${PAGE}&before=${encodeURIComponent(last.id)}`);
    this.most += requests.length;
    this.all.push(...requests);
    byId("older").hidden = requests.length < PAGE;
    this.draw();
  }

  add(request) {
    if (this.all.some(({ id }) => id === request.id)) return;
    this.all = [request, ...this.all].slice(0, this.most);
    this.draw(request.id);
  }

  clear() {
    this.all = [];
    this.draw();
  }

  /** `fresh`: the id that has just come, to be lit up for a moment. */
  draw(fresh) {
    const onlyFailed = byId("only-failed").checked;
    const shown = onlyFailed ? this.all.filter(({ outcome }) => outcome === "failed") : this.all;
    const focused = document.activeElement?.dataset?.request;
    byId("request-rows").replaceChildren(...shown.flatMap((request) => this.rows(request, fresh)));
    byId("no-requests").hidden = this.all.length > 0;
    if (focused) document.querySelector(`[data-request="${CSS.escape(focused)}"]`)?.focus();
    showFailures(this.all);
  }

  rows(request, fresh) {
    const open = this.open.has(request.id);
    const toggle = el("button", {
      type: "button", class: "expand", "aria-expanded": String(open), "data-request": request.id,
      title: format.full(request.time_epoch_s), onclick: () => this.toggle(request.id),
    }, format.time(request.time_epoch_s));
    const row = el("tr", {
      role: "row", "data-outcome": request.outcome, class: request.id === fresh ? "fresh" : null,
    },
    cell("Time", toggle), cell("Outcome", outcome(request)),
    cell("Model", el("span", { class: "name" }, request.model || format.NONE)),
    cell("Account", request.account || format.NONE), cell("Client", request.client || format.NONE),
    numberCell("Tokens", tokens(request)), numberCell("Credits", number(request, "credits", format.credits)),
    numberCell("First token", format.ms(request.first_token_ms)),
    numberCell("Total", format.ms(request.total_ms)));
    return open ? [row, details(request)] : [row];
  }

  toggle(id) {
    if (!this.open.delete(id)) this.open.add(id);
    this.draw();
  }
}

const cell = (label, ...content) => el("td", { role: "cell", "data-label": label }, ...content);
const numberCell = (label, ...content) =>
  el("td", { role: "cell", "data-label": label, class: "number" }, ...content);

function outcome({ outcome: word, status, tries }) {
  const more = [word === "failed" ? status : "", tries > 1 ? `${tries} tries` : ""].filter(Boolean);
  return el("span", {}, el("span", { class: "dot", "data-outcome": word, "aria-hidden": "true" }),
    WORDS[word] ?? word, more.length ? el("span", { class: "hint" }, ` ${more.join(", ")}`) : null);
}

function tokens(request) {
  if (request.input_tokens === null && request.output_tokens === null) return format.NONE;
  return [number(request, "input_tokens", format.short), " → ",
    number(request, "output_tokens", format.short)];
}

/** A number that says whether the service itself gave it. */
function number(request, field, show) {
  const value = request[field];
  if (value === null || value === undefined) return el("span", {}, format.NONE);
  const source = request.sources?.[field];
  const guess = source && source !== "reported";
  return el("span", {
    class: guess ? "guess" : null, title: `${format.count(value) === show(value) ? "" :
      `${value} `}${SOURCES[source] ?? ""}`.trim() || null,
  }, guess ? el("span", { "aria-label": "about" }, "≈") : null, show(value));
}

function details(request) {
  const facts = [
    ["Request", request.id], ["Route", request.dialect + (request.stream ? ", streamed" : ", whole")],
    ["Model asked of the service", request.upstream_model], ["Status", request.status],
    ["Tries", request.tries],
    ["Input tokens", sourced(request, "input_tokens")], ["Output tokens", sourced(request, "output_tokens")],
    ["Read from cache", sourced(request, "cache_read_tokens")],
    ["Written to cache", sourced(request, "cache_write_tokens")],
    ["Credits", sourced(request, "credits")],
    ["Error", [request.error_kind, request.error].filter(Boolean).join(": ")],
  ].filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const list = el("dl", { class: "facts" },
    facts.map(([name, value]) => el("div", { class: name === "Error" ? "wide" : null }, el("dt", {}, name), el("dd", {}, String(value)))));
  return el("tr", { role: "row", class: "more" }, el("td", { role: "cell", colspan: 9 }, list));
}

function sourced(request, field) {
  const value = request[field];
  if (value === null || value === undefined) return "";
  const show = field === "credits" ? format.credits(value) : format.count(value);
  const source = request.sources?.[field];
  return source ? `${show}, ${SOURCES[source] ?? source}` : show;
}

/** The kinds of failure among the listed requests, the latest first, each with its last message. */
function showFailures(requests) {
  const kinds = new Map();
  for (const request of requests) {
    if (request.outcome !== "failed") continue;
    const name = request.error_kind || `status ${request.status}`;
    const seen = kinds.get(name);
    if (seen) seen.many += 1;
    else kinds.set(name, { many: 1, latest: request });
  }
  byId("failures").replaceChildren(...[...kinds].slice(0, 4).map(([name, { many, latest }]) =>
    el("div", { class: "failure" },
      el("p", { class: "failure-name" }, el("strong", {}, name.replaceAll("_", " ")),
        el("span", { class: "hint" }, ` ${many} of the ${requests.length} listed, last ${
          format.relative(latest.time_epoch_s)}`)),
      el("p", {}, latest.error || "No message."))));
}
