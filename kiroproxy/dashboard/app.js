// The page: asks for the numbers, listens for news, and keeps both on screen.

import { showAccounts } from "/static/accounts.js";
import { Activity } from "/static/activity.js";
import { KeyNeeded, forgetKey, getJson, knownKey, setKey, watch } from "/static/api.js";
import { byId, say } from "/static/dom.js";
import * as format from "/static/format.js";
import { Requests } from "/static/requests.js";
import { Setup } from "/static/setup.js";

const POLL_MS = 15_000;
const RETELL_MS = 5000; // "in 12 s" has to move on
const AFTER_NEWS_MS = 1500; // the ledger writes in batches; many events make one question

const activity = new Activity();
const requests = new Requests();
let accounts = [];
let timer = 0;
let soon = false;
let watching = false;

function showUsage(usage) {
  showPool(usage.accounts);
  activity.update(usage);
  const hour = usage.series.minute;
  const sum = (field) => hour.reduce((total, bucket) => total + bucket[field], 0);
  byId("fig-hour").textContent = format.count(sum("requests"));
  byId("fig-hour-what").textContent = `requests in the last hour, ${format.count(sum("failures"))} failed`;
}

function showPool(pool) {
  accounts = pool;
  showAccounts(accounts);
  const ready = accounts.filter(({ state }) => state === "ready").length;
  byId("fig-ready").textContent = `${ready} of ${accounts.length}`;
  showRemaining();
}

function showRemaining() {
  const told = accounts.filter(({ remaining }) => typeof remaining === "number");
  const left = told.reduce((total, { remaining }) => total + remaining, 0);
  byId("fig-left").textContent = told.length ? format.count(left) : format.NONE;
  const part = told.length < accounts.length ? ` on ${told.length} of ${accounts.length} accounts` : "";
  const old = told.some(({ stale }) => stale) ? ", partly old figures" : "";
  byId("fig-left-what").textContent = told.length ? `credits left${part}${old}` : "credits left: not known";
}

const LINK = { live: "Live", lost: "Reconnecting", connecting: "Connecting", locked: "Locked" };

function showLink(state) {
  const pill = byId("link");
  if (pill.dataset.state === state) return;
  pill.dataset.state = state;
  pill.textContent = LINK[state];
}

function showTrouble(text) {
  byId("trouble").textContent = text;
  byId("trouble").hidden = !text;
}

/** Ask for everything now, and again after a while. */
async function refresh() {
  clearTimeout(timer);
  soon = false;
  try {
    showUsage(await getJson("/api/usage"));
    showTrouble("");
  } catch (error) {
    if (error instanceof KeyNeeded) return lock(error);
    showTrouble(`The numbers could not be read: ${error.message}. Trying again.`);
  }
  timer = setTimeout(refresh, document.hidden ? POLL_MS * 8 : POLL_MS);
}

/** Once for all news of a moment; steady news must not put it off for ever. */
function refreshSoon() {
  if (soon) return;
  soon = true;
  clearTimeout(timer);
  timer = setTimeout(refresh, AFTER_NEWS_MS);
}

const NEWS = {
  request: (data) => {
    requests.add(data);
    refreshSoon();
  },
  account: (data) => {
    const before = accounts.find(({ id }) => id === data.id);
    if (before?.state !== data.state) say(`Account ${data.label || data.id}: ${data.state}`);
    showPool(before ? accounts.map((one) => (one === before ? data : one)) : [...accounts, data]);
  },
  active: (data) => { byId("fig-active").textContent = format.count(data.streams); },
};

async function listen() {
  if (watching) return;
  watching = true;
  try {
    await watch((name, data) => NEWS[name]?.(data), (state) => {
      showLink(state);
      if (state === "live") {
        void requests.load().catch(() => {});
        refreshSoon();
      }
    });
  } catch (error) {
    lock(error);
  } finally {
    watching = false;
  }
}

function lock(error) {
  clearTimeout(timer);
  showLink("locked");
  byId("key-error").textContent = knownKey() ? error.message : "";
  forgetKey();
  byId("key").hidden = false;
  byId("key-field").focus();
}

function unlock(event) {
  event.preventDefault();
  setKey(byId("key-field").value.trim());
  byId("key-field").value = "";
  byId("key").hidden = true;
  showLink("connecting");
  start();
}

function start() {
  void refresh().then(() => byId("key").hidden && listen());
}

const THEMES = { auto: "light", light: "dark", dark: "auto" };

function nextTheme() {
  const now = document.documentElement.dataset.theme || "auto";
  showTheme(THEMES[now]);
}

function showTheme(name) {
  if (name === "auto") {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("kiroproxy-theme");
  } else {
    document.documentElement.dataset.theme = name;
    localStorage.setItem("kiroproxy-theme", name);
  }
  byId("theme").textContent = `Theme: ${name}`;
}

async function showVersion() {
  const { version } = await (await fetch("/health")).json();
  byId("version").textContent = `kiroproxy ${version}`;
}

byId("theme").addEventListener("click", nextTheme);
byId("key").addEventListener("submit", unlock);
document.addEventListener("visibilitychange", () => document.hidden || refreshSoon());
setInterval(() => document.hidden || !accounts.length || showAccounts(accounts), RETELL_MS);
showTheme(document.documentElement.dataset.theme || "auto");
new Setup();
void showVersion().catch(() => {});
start();
