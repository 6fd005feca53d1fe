// The official OpenAI Node SDK, every helper a program would use. Run by test_openai_node.py as
// `node openai_scenarios.mjs SCENARIO`; prints one JSON object with what it saw.

import { createRequire } from "node:module";

const require = createRequire(`${process.env.CLIENTS}/package.json`);
const { default: OpenAI } = require("openai");
const { zodResponseFormat, zodTextFormat } = require("openai/helpers/zod");
const { z } = require("zod");

const client = new OpenAI({
  baseURL: `${process.env.BASE_URL}/v1`,
  apiKey: process.env.KEY,
  maxRetries: 0,
});
const model = "claude-sonnet-4-5";
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const weather = {
  type: "function",
  function: { name: "weather", description: "The weather of a city", parameters },
};
const flatWeather = { type: "function", ...weather.function, strict: false };

const says = (content) => ({ model, messages: [{ role: "user", content }] });
const asks = (input) => ({ model, input });
const call = (name, input) => `[[sim:tool ${name} ${JSON.stringify(input)}]]`;
const both = call("weather", { city: "Oslo" }) + call("weather", { city: "Bergen" });
const City = z.object({ name: z.string(), rank: z.number() });
const paris = '[[sim:say ```json\n{"name": "Paris", "rank": 1}\n```]]';

/** The class, status, code and body of what `ask` throws. */
async function failure(ask) {
  try {
    await ask();
  } catch (error) {
    return {
      class: error.constructor.name,
      status: error.status ?? null,
      message: error.message,
      code: error.code ?? null,
      param: error.param ?? null,
      type: error.type ?? null,
      requestId: error.requestID ?? null,
    };
  }
  return { class: "none" };
}

const scenarios = {
  async create() {
    const made = await client.chat.completions.create(says("[[sim:say Grüße, 世界]]"));
    const [choice] = made.choices;
    return {
      text: choice.message.content,
      finish: choice.finish_reason,
      model: made.model,
      usage: made.usage,
      requestId: made._request_id,
    };
  },

  async stream() {
    const stream = client.chat.completions.stream({
      ...says("[[sim:text 60]]"),
      stream_options: { include_usage: true },
    });
    const pieces = [];
    stream.on("content", (piece) => pieces.push(piece));
    const text = await stream.finalContent();
    const whole = await stream.finalChatCompletion();
    return { pieces, text, finish: whole.choices[0].finish_reason, usage: await stream.totalUsage() };
  },

  async raw() {
    const chunks = [];
    const asked = { ...says(`[[sim:say a b]]${both}`), tools: [weather], stream: true };
    for await (const chunk of await client.chat.completions.create(asked)) chunks.push(chunk);
    return { chunks };
  },

  async run_tools() {
    const asked = [];
    const name = "weather_of_a_city_with_a_name_that_is_far_too_long_for_the_service_itself";
    const tool = {
      type: "function",
      function: {
        name,
        description: "The weather of a city",
        parameters,
        parse: JSON.parse,
        function: ({ city }) => {
          asked.push(city);
          return `${city}: rain`;
        },
      },
    };
    const texts = [];
    for (const stream of [false, true]) {
      const given = says(`Call ${name} with {"city": "Bergen"}`);
      const runner = client.chat.completions.runTools({ ...given, tools: [tool], stream });
      texts.push(await runner.finalContent());
    }
    return { asked, texts };
  },

  async parse() {
    const made = await client.chat.completions.parse({
      ...says(paris),
      response_format: zodResponseFormat(City, "city"),
    });
    const answered = await client.responses.parse({
      ...asks(paris),
      text: { format: zodTextFormat(City, "city") },
    });
    return { chat: made.choices[0].message.parsed, responses: answered.output_parsed };
  },

  async limits() {
    const stopped = await client.chat.completions
      .stream({ ...says("[[sim:say one two STOP three]]"), stop: ["STOP"] })
      .finalChatCompletion();
    const cut = await client.chat.completions.create({
      ...says("[[sim:text 500]]"),
      max_completion_tokens: 20,
    });
    return {
      stopped: [stopped.choices[0].message.content, stopped.choices[0].finish_reason],
      cut: [cut.choices[0].message.content.split(" ").length, cut.choices[0].finish_reason],
    };
  },

  async responses() {
    const first = await client.responses.create({ ...asks(both), tools: [flatWeather] });
    const calls = first.output.filter((item) => item.type === "function_call");
    const results = calls.map(({ call_id, arguments: given }) => ({
      type: "function_call_output",
      call_id,
      output: `${JSON.parse(given).city}: dry`,
    }));
    const second = await client.responses.create({
      ...asks([{ role: "user", content: both }, ...first.output, ...results]),
      tools: [flatWeather],
    });
    const kept = await client.responses.create({
      ...asks(results),
      tools: [flatWeather],
      previous_response_id: first.id,
    });
    return {
      inputs: calls.map((item) => JSON.parse(item.arguments)),
      texts: [second.output_text, kept.output_text],
      status: second.status,
      usage: second.usage,
    };
  },

  async responses_stream() {
    const kinds = [];
    const pieces = [];
    const stream = client.responses.stream({
      ...asks(`[[sim:text 60]]${call("weather", { city: "Oslo" })}`),
      tools: [flatWeather],
    });
    for await (const event of stream) {
      kinds.push(event.type);
      if (event.type === "response.output_text.delta") pieces.push(event.delta);
    }
    const whole = await stream.finalResponse();
    return { kinds, pieces, text: whole.output_text, output: whole.output, usage: whole.usage };
  },

  async models() {
    const ids = [];
    for await (const entry of client.models.list()) ids.push(entry.id);
    const one = await client.models.retrieve(ids[0]);
    const missing = await failure(() => client.models.retrieve("no-such-model"));
    return { ids, one, missing };
  },

  async failing() {
    return {
      whole: await failure(() => client.chat.completions.create(says("hi"))),
      streamed: await failure(() => client.chat.completions.stream(says("hi")).finalContent()),
      responses: await failure(() => client.responses.create(asks("hi"))),
    };
  },

  async bad_fields() {
    return {
      n: await failure(() => client.chat.completions.create({ ...says("hi"), n: 2 })),
      messages: await failure(() => client.chat.completions.create({ model, messages: [] })),
      input: await failure(() => client.responses.create({ model, input: 7 })),
    };
  },

  async wrong_key() {
    const stranger = new OpenAI({ baseURL: `${process.env.BASE_URL}/v1`, apiKey: "wrong" });
    return failure(() => stranger.chat.completions.create(says("hi")));
  },

  async broken_stream() {
    const heard = [];
    const error = await failure(async () => {
      const asked = { ...says("[[sim:text 200]]"), stream: true };
      for await (const chunk of await client.chat.completions.create(asked)) {
        heard.push(chunk.choices[0].delta.content);
      }
    });
    return { ...error, heard };
  },

  async cancel() {
    const asked = { ...says("[[sim:pace 0.05]][[sim:text 2000]]"), stream: true };
    const stream = await client.chat.completions.create(asked);
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) break; // leaving the loop aborts the request
    }
    return { aborted: stream.controller.signal.aborted };
  },
};

console.log(JSON.stringify(await scenarios[process.argv[2]]()));
