// The official Node SDK, every helper a program would use. Run by test_sdk_node.py as
// `node sdk_scenarios.mjs SCENARIO`; prints one JSON object with what it saw.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS}/package.json`);
const { default: Anthropic } = require("@anthropic-ai/sdk");
const { betaZodTool } = require("@anthropic-ai/sdk/helpers/beta/zod");
const { zodOutputFormat } = require("@anthropic-ai/sdk/helpers/zod");
const { z } = require("zod");

const client = new Anthropic({
  baseURL: process.env.BASE_URL,
  apiKey: process.env.KEY,
  maxRetries: 0,
});
const model = "claude-sonnet-4-5";
const weather = {
  name: "weather",
  description: "The weather of a city",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};

const says = (...content) => ({
  model,
  max_tokens: 4096,
  messages: [{ role: "user", content }],
});
const text = (words) => ({ type: "text", text: words });
const file = (type, media_type, variable) => ({
  type,
  source: { type: "base64", media_type, data: readFileSync(process.env[variable]).toString("base64") },
});
const textOf = (message) =>
  message.content.filter((block) => block.type === "text").map((block) => block.text).join("");
const call = (name, input) => `[[sim:tool ${name} ${JSON.stringify(input)}]]`;

/** The class, status and body of what `ask` throws. */
async function failure(ask) {
  try {
    await ask();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      message: error.message,
      body: error.error ?? null,
      requestId: error.requestID ?? null,
    };
  }
  return { class: "none" };
}

const scenarios = {
  async create() {
    const message = await client.messages.create(says(text("[[sim:say Grüße, 世界]]")));
    return { text: textOf(message), stop: message.stop_reason, model: message.model, usage: message.usage };
  },

  async stream() {
    const stream = client.messages.stream(says(text("[[sim:text 60]]")));
    const pieces = [];
    stream.on("text", (piece) => pieces.push(piece));
    const message = await stream.finalMessage();
    return { pieces, text: textOf(message), stop: message.stop_reason, usage: message.usage };
  },

  async raw() {
    const events = [];
    const asked = says(text(`[[sim:say a b]]${call("weather", { city: "Oslo" })}`));
    for await (const event of await client.messages.create({ ...asked, tools: [weather], stream: true })) {
      events.push(event);
    }
    return { events };
  },

  async tool_runner() {
    const asked = [];
    const tool = betaZodTool({
      name: "weather_of_a_city_with_a_name_that_is_far_too_long_for_the_service_itself",
      description: "The weather of a city",
      inputSchema: z.object({ city: z.string() }),
      run: async ({ city }) => {
        asked.push(city);
        return `${city}: rain`;
      },
    });
    const message = await client.beta.messages.toolRunner({
      ...says(text(`Call ${tool.name} with {"city": "Bergen"}`)),
      tools: [tool],
      stream: false,
    });
    return { asked, text: textOf(message) };
  },

  async parallel() {
    const asked = says(text(call("weather", { city: "Oslo" }) + call("weather", { city: "Bergen" })));
    const first = await client.messages.stream({ ...asked, tools: [weather] }).finalMessage();
    const calls = first.content.filter((block) => block.type === "tool_use");
    const results = calls.map(({ id, input }) => ({
      type: "tool_result",
      tool_use_id: id,
      content: [text(`${input.city}: dry`)],
    }));
    asked.messages.push({ role: "assistant", content: first.content });
    asked.messages.push({ role: "user", content: results.reverse() });
    const second = await client.messages.create({ ...asked, tools: [weather] });
    return { inputs: calls.map((block) => block.input), text: textOf(second) };
  },

  async media() {
    const picture = says(file("image", "image/png", "PNG"), text("What is it?"));
    const paper = says(file("document", "application/pdf", "PDF"), text("And this?"));
    return {
      picture: textOf(await client.messages.create(picture)),
      paper: textOf(await client.messages.create(paper)),
    };
  },

  async thinking() {
    const asked = says(text("[[sim:think Let me see.]][[sim:say seen]]"));
    const seen = [];
    for (const options of [
      { model: "claude-opus-5-5", thinking: { type: "adaptive" } },
      { model, thinking: { type: "enabled", budget_tokens: 2000 } },
    ]) {
      const first = await client.messages.stream({ ...asked, ...options }).finalMessage();
      const messages = [
        ...asked.messages,
        { role: "assistant", content: first.content },
        { role: "user", content: "[[sim:say still here]]" },
      ];
      const second = await client.messages.stream({ ...asked, ...options, messages }).finalMessage();
      seen.push({ first: first.content, second: textOf(second) });
    }
    return { seen };
  },

  async parse() {
    const City = z.object({ name: z.string(), rank: z.number() });
    const message = await client.messages.parse({
      ...says(text('[[sim:say ```json\n{"name": "Paris", "rank": 1}\n```]]')),
      output_config: { format: zodOutputFormat(City) },
    });
    return { parsed: message.parsed_output };
  },

  async limits() {
    const stopped = await client.messages
      .stream({ ...says(text("[[sim:say one two STOP three]]")), stop_sequences: ["STOP"] })
      .finalMessage();
    const cut = await client.messages
      .stream({ ...says(text("[[sim:text 500]]")), max_tokens: 20 })
      .finalMessage();
    return {
      stopped: [textOf(stopped), stopped.stop_reason, stopped.stop_sequence],
      cut: [textOf(cut).split(" ").length, cut.stop_reason],
    };
  },

  async models() {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    const one = await client.models.retrieve(ids[0]);
    const missing = await failure(() => client.models.retrieve("no-such-model"));
    return { ids, one, missing };
  },

  async count_tokens() {
    const { messages } = says(text("word ".repeat(400)));
    return client.messages.countTokens({ model, messages });
  },

  async failing() {
    const asked = says(text("hi"));
    return {
      whole: await failure(() => client.messages.create(asked)),
      streamed: await failure(() => client.messages.stream(asked).finalMessage()),
    };
  },

  async wrong_key() {
    const stranger = new Anthropic({ baseURL: process.env.BASE_URL, apiKey: "wrong" });
    return failure(() => stranger.messages.create(says(text("hi"))));
  },

  async broken_stream() {
    const heard = [];
    const stream = client.messages.stream(says(text("[[sim:text 200]]")));
    stream.on("text", (piece) => heard.push(piece));
    stream.on("error", () => {});
    return { ...(await failure(() => stream.finalMessage())), heard };
  },

  async cancel() {
    const stream = client.messages.stream(says(text("[[sim:pace 0.05]][[sim:text 2000]]")));
    for await (const event of stream) {
      if (event.type === "content_block_delta") break; // leaving the loop aborts the request
    }
    return { aborted: stream.controller.signal.aborted };
  },
};

console.log(JSON.stringify(await scenarios[process.argv[2]]()));
