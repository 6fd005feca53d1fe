// The proxy's JSON routes, and its event stream read with fetch: EventSource cannot send a key.

const KEY = "kiroproxy-key";

/** The proxy wants a key, or another one. */
export class KeyNeeded extends Error {}

export const knownKey = () => sessionStorage.getItem(KEY) || "";
export const setKey = (key) => sessionStorage.setItem(KEY, key);
export const forgetKey = () => sessionStorage.removeItem(KEY);

async function ask(path, signal) {
  const key = knownKey();
  const answer = await fetch(path, {
    headers: key ? { "x-api-key": key } : {},
    cache: "no-store",
    credentials: "omit",
    signal,
  });
  if (answer.status === 401) throw new KeyNeeded(await reasonOf(answer));
  if (!answer.ok) throw new Error(await reasonOf(answer));
  return answer;
}

async function reasonOf(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return `the proxy answered ${answer.status}`;
  }
}

export async function getJson(path) {
  return (await ask(path)).json();
}

/** Whether this proxy has the route at all; needs no key. */
export async function isServed(path) {
  return (await fetch(path, { method: "OPTIONS" })).status !== 404;
}

const QUIET_S = 45; // a ping comes every 15 s; three missed ones mean a dead line
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/**
 * Keep the event stream open. `onEvent(name, data)` per event; `onState("live" | "lost")` as the line
 * comes and goes. Comes back only by throwing KeyNeeded.
 */
export async function watch(onEvent, onState) {
  for (let wait = 1000; ; wait = Math.min(wait * 2, 15_000)) {
    try {
      await readStream(onEvent, () => {
        wait = 500;
        onState("live");
      });
    } catch (error) {
      if (error instanceof KeyNeeded) throw error;
    }
    onState("lost");
    await pause(wait);
  }
}

async function readStream(onEvent, onOpen) {
  const abort = new AbortController();
  let timer = setTimeout(() => abort.abort(), QUIET_S * 1000);
  try {
    const answer = await ask("/api/events", abort.signal);
    onOpen();
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    const parse = eventParser(onEvent);
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(() => abort.abort(), QUIET_S * 1000);
      parse(value);
    }
  } finally {
    clearTimeout(timer);
    abort.abort();
  }
}

/** Takes text in any cuts. */
export function eventParser(onEvent) {
  let rest = "";
  return (text) => {
    const blocks = (rest + text).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) dispatch(block, onEvent);
  };
}

function dispatch(block, onEvent) {
  let name = "message";
  const data = [];
  for (const line of block.split("\n")) {
    if (line.startsWith("event:")) name = line.slice(6).trim();
    else if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
  }
  if (data.length) onEvent(name, JSON.parse(data.join("\n")));
}
