// OpenAI's JavaScript client: each step prints one JSON line that tests/sdk/test_javascript.py reads.
import OpenAI from "openai";

const { BASE_URL, KEY, MODEL } = process.env;
const client = new OpenAI({ apiKey: KEY, baseURL: `${BASE_URL}/v1`, maxRetries: 0 });
const messages = [
  { role: "system", content: "You are XAI" },
  { role: "user", content: "What is the meaning of life, the universe, and everything?" },
];
const weather = {
  type: "function",
  function: {
    name: "get_weather",
    parameters: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
  },
};
const paris = [{ role: "user", content: "What is the weather in Paris?" }];
const say = (step, value) => console.log(JSON.stringify({ step, ...value }));

const completion = await client.chat.completions.create({ model: MODEL, messages });
say("whole", { text: completion.choices[0].message.content, usage: completion.usage, id: completion._request_id });

let text = "";
let choices = 0;
let chunks = 0;
for await (const chunk of await client.chat.completions.create({ model: MODEL, messages, stream: true })) {
  chunks += 1;
  choices += chunk.choices.length;
  text += chunk.choices[0]?.delta?.content ?? "";
}
say("stream", { text, chunks, choices });

const helper = client.chat.completions.stream({ model: MODEL, messages, stream_options: { include_usage: true } });
say("helper", { text: await helper.finalContent(), usage: await helper.totalUsage() });

const called = await client.chat.completions.create({ model: MODEL, messages: paris, tools: [weather] });
const call = called.choices[0].message.tool_calls[0];
const told = await client.chat.completions.create({
  model: MODEL,
  tools: [weather],
  messages: [
    ...paris,
    called.choices[0].message,
    { role: "tool", tool_call_id: call.id, content: "18 degrees" },
  ],
});
say("tools", { name: call.function.name, told: told.choices[0].message.content });

const response = await client.responses.create({ model: MODEL, input: "Hello there", store: false });
say("response", { text: response.output_text, status: response.status });

const kinds = [];
for await (const event of await client.responses.create({ model: MODEL, input: "Hello", store: false, stream: true })) {
  kinds.push(event.type);
}
say("response stream", { first: kinds[0], last: kinds.at(-1) });

const errors = {};
for (const [name, change] of Object.entries({
  model: { model: "nothing" },
  field: { n: 1e9 },
})) {
  try {
    await client.chat.completions.create({ model: MODEL, messages, ...change });
  } catch (error) {
    errors[name] = { kind: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
  }
}
const wrong = new OpenAI({ apiKey: "tg_wrong", baseURL: `${BASE_URL}/v1`, maxRetries: 0 });
await wrong.models.list().catch((error) => {
  errors.key = { kind: error.constructor.name, status: error.status, code: error.code, id: error.requestID };
});
say("errors", { errors });
