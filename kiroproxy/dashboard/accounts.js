// One card an account: state, reason, what is left and when it comes back.

import { byId, el } from "/static/dom.js";
import * as format from "/static/format.js";

// What only a person can mend, said along with the proxy's own reason.
const DUTIES = {
  revoked: "It needs a new sign-in.",
  suspended: "Only the service's support can lift that.",
};

// Said when the proxy gives no reason.
const MEANINGS = {
  refreshing: "Getting a new token.",
  cooling: "Resting, as the service asked.",
  exhausted: "Its credits are used up.",
  revoked: "Its sign-in is no longer accepted; it needs a new one.",
  suspended: "The service has suspended it; only its support can lift that.",
  disabled: "Switched off in your settings.",
};

export function showAccounts(accounts) {
  const list = byId("account-list");
  if (!accounts.length) {
    list.replaceChildren(el("p", { class: "card empty" },
      "No account. Sign in with kiroproxy login, or in the Kiro IDE on this machine."));
    return;
  }
  list.replaceChildren(...accounts.map(card));
}

function card(account) {
  const title = account.label || account.id;
  return el("article", { class: "card account", "data-state": account.state, "aria-label": title },
    el("header", {},
      el("div", {}, el("h3", { title }, title), el("p", { class: "hint" }, subtitle(account))),
      el("p", { class: "pill", "data-state": account.state }, account.state)),
    whyNotReady(account),
    quota(account),
    el("dl", { class: "pots" }, pots(account)),
    el("footer", { class: "hint" }, footnotes(account)));
}

function subtitle({ plan, kind, id, label }) {
  return [plan, kind, label && label !== id ? id : ""].filter(Boolean).join(" · ");
}

function whyNotReady({ state, reason, until_epoch_s: until }) {
  if (state === "ready" && !reason) return null;
  const words = [reason && sentence(reason.replace(REQUEST_ID, "")), reason ? DUTIES[state] : MEANINGS[state]];
  const end = until && !isPast(until)
    ? el("time", { title: format.full(until) }, `Ends ${format.relative(until)}.`) : null;
  return el("p", { class: "why", title: reason || null }, words.filter(Boolean).map((text) => `${text} `), end);
}

// Of use to the service's support, and long: the failed request in the list below has it, too.
const REQUEST_ID = / ?\(Kiro request id [^)]*\)/;

const isPast = (epochS) => epochS < Date.now() / 1000;

function sentence(text) {
  const first = text[0].toUpperCase() + text.slice(1);
  return /[.!?]$/.test(first) ? first : `${first}.`;
}

function quota(account) {
  const { used, limit } = account;
  if (limit === null || limit === undefined) {
    return el("p", { class: "hint quota" }, "Its limits are not known yet.");
  }
  const text = `${format.credits(used)} of ${format.credits(limit)} used`;
  return el("div", { class: "quota" },
    el("p", { class: "quota-text" },
      el("strong", {}, format.credits(account.remaining ?? limit - used)), " credits left",
      el("span", { class: "hint" }, text)),
    meter("Credits used", used, limit, text));
}

/** A bar that a screen reader reads as one number. */
function meter(label, used, limit, text) {
  const part = limit > 0 ? Math.min(1, Math.max(0, used / limit)) : 1;
  const fill = el("span", { class: "meter-fill", "data-level": level(part) });
  fill.style.width = `${part * 100}%`;
  return el("div", {
    class: "meter", role: "meter", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": limit,
    "aria-valuenow": Math.min(used, limit), "aria-valuetext": text,
  }, fill);
}

const level = (part) => (part >= 0.95 ? "full" : part >= 0.8 ? "high" : "fine");

function pots({ trial, bonuses, overage, reset_epoch_s: reset }) {
  const rows = [];
  if (reset) rows.push(row("Resets", `${format.relative(reset)}`, format.full(reset)));
  if (trial) rows.push(row("Free trial", potText(trial)));
  for (const bonus of bonuses ?? []) rows.push(row(bonus.name || "Bonus", potText(bonus)));
  if (overage && overage.status) rows.push(row("Overage", overageText(overage)));
  return rows;
}

const row = (name, text, title) => el("div", {}, el("dt", {}, name), el("dd", { title }, text));

function potText({ used, limit, status, expires_epoch_s: expires }) {
  const parts = [`${format.credits(used)} of ${format.credits(limit)}`];
  if (status && status !== "ACTIVE") parts.push(status.toLowerCase());
  if (expires) parts.push(`${isPast(expires) ? "ended" : "ends"} ${format.relative(expires)}`);
  return parts.join(", ");
}

function overageText({ status, used, charges, currency }) {
  if (status !== "ENABLED") return status.toLowerCase();
  const cost = charges ? `, ${format.credits(charges)} ${currency}`.trimEnd() : "";
  return `${format.credits(used)} credits${cost}`;
}

function footnotes({ source, label, fetched_epoch_s: fetched, stale }) {
  const when = fetched ? `Limits as of ${format.relative(fetched)}` : "";
  return [
    stale && fetched ? el("strong", { class: "stale" }, "Old: ") : null,
    [when, source && source !== label ? `sign-in from ${source}` : ""].filter(Boolean).join(" · "),
  ];
}
