// Lines to paste, with this page's own address and, if given, the key.

import { isServed } from "/static/api.js";
import { byId, el, say } from "/static/dom.js";

const UNKNOWN = "YOUR_KEY";

// `needs`: the route a client lives on; when this proxy does not serve it, the tab says so.
const RECIPES = [
  {
    name: "Claude Code", needs: "/v1/messages", note: "In the shell, then start claude.",
    lines: (url, key) => `export ANTHROPIC_BASE_URL=${url}
export ANTHROPIC_AUTH_TOKEN=${key}
export CLAUDE_CODE_AUTO_COMPACT_WINDOW=180000        # compact before Kiro's window is full
export CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1    # no titles, no probes: fewer credits
claude`,
  },
  {
    name: "Codex", needs: "/v1/responses",
    note: "In ~/.codex/config.toml; the key goes into the environment: export KIROPROXY_KEY=…",
    lines: (url) => `model = "claude-sonnet-4.5"
model_provider = "kiro"
model_context_window = 200000
model_auto_compact_token_limit = 160000

[model_providers.kiro]
name = "Kiro"
base_url = "${url}/v1"
env_key = "KIROPROXY_KEY"
wire_api = "responses"`,
  },
  {
    name: "Anthropic, Python", needs: "/v1/messages", note: "pip install anthropic",
    lines: (url, key) => `from anthropic import Anthropic

client = Anthropic(base_url="${url}", api_key="${key}")
message = client.messages.create(
    model="claude-sonnet-4.5",
    max_tokens=1024,
    messages=[{"role": "user", "content": "Hello"}],
)
print(message.content[0].text)`,
  },
  {
    name: "Anthropic, TypeScript", needs: "/v1/messages", note: "npm install @anthropic-ai/sdk",
    lines: (url, key) => `import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "${url}", apiKey: "${key}" });
const message = await client.messages.create({
  model: "claude-sonnet-4.5",
  max_tokens: 1024,
  messages: [{ role: "user", content: "Hello" }],
});
console.log(message.content);`,
  },
  {
    name: "OpenAI, Python", needs: "/v1/chat/completions", note: "pip install openai",
    lines: (url, key) => `from openai import OpenAI

client = OpenAI(base_url="${url}/v1", api_key="${key}")
answer = client.chat.completions.create(
    model="claude-sonnet-4.5",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)`,
  },
  {
    name: "curl", needs: "/v1/messages", note: "One question, one answer.",
    lines: (url, key) => `curl ${url}/v1/messages \\
  -H "x-api-key: ${key}" -H "content-type: application/json" \\
  -d '{"model": "claude-sonnet-4.5", "max_tokens": 256,
       "messages": [{"role": "user", "content": "Hello"}]}'`,
  },
];

export class Setup {
  constructor() {
    this.at = 0;
    this.tabs = RECIPES.map((recipe, index) => el("button", {
      type: "button", role: "tab", id: `tab-${index}`, "aria-controls": "setup-panel",
      onclick: () => this.choose(index),
    }, recipe.name));
    byId("setup-tabs").append(...this.tabs);
    byId("setup-tabs").addEventListener("keydown", (event) => this.move(event));
    byId("setup-key").addEventListener("input", () => this.draw());
    this.choose(0);
  }

  move(event) {
    const last = RECIPES.length - 1;
    const to = { ArrowLeft: this.at ? this.at - 1 : last, ArrowRight: this.at === last ? 0 : this.at + 1,
      Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.choose(to);
    this.tabs[to].focus();
  }

  choose(index) {
    this.at = index;
    this.tabs.forEach((tab, number) => {
      tab.setAttribute("aria-selected", String(number === index));
      tab.tabIndex = number === index ? 0 : -1;
    });
    byId("setup-panel").setAttribute("aria-labelledby", `tab-${index}`);
    this.draw();
  }

  draw() {
    const recipe = RECIPES[this.at];
    const text = recipe.lines(location.origin, byId("setup-key").value.trim() || UNKNOWN);
    const copy = el("button", { type: "button", class: "quiet copy" }, "Copy");
    copy.addEventListener("click", () => copyText(copy, text));
    const warning = el("p", { class: "notice", hidden: true });
    byId("setup-panel").replaceChildren(warning,
      el("div", { class: "panel-head" }, el("p", { class: "hint" }, recipe.note), copy),
      el("pre", { tabindex: "0", "aria-label": `Set-up for ${recipe.name}` }, el("code", {}, text)));
    void warnIfUnserved(recipe, warning);
  }
}

async function warnIfUnserved({ name, needs }, warning) {
  if (needs === "/v1/messages" || await isServed(needs).catch(() => true)) return;
  warning.textContent = `${name} asks ${needs}, which this version of kiroproxy does not serve.`;
  warning.hidden = false;
}

async function copyText(button, text) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    // No clipboard without HTTPS, except on this machine: mark the lines for Ctrl-C instead.
    getSelection().selectAllChildren(byId("setup-panel").querySelector("code"));
    button.textContent = "Marked, press Ctrl-C";
  }
  say(button.textContent);
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}
