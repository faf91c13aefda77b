// Anthropic's JavaScript client: each step prints one JSON line that tests/sdk/test_javascript.py reads.
import Anthropic from "@anthropic-ai/sdk";

const { BASE_URL, KEY, MODEL } = process.env;
const client = new Anthropic({ apiKey: KEY, baseURL: `${BASE_URL}/`, maxRetries: 0 });
const messages = [{ role: "user", content: "What is the meaning of life, the universe, and everything?" }];
const weather = {
  name: "get_weather",
  input_schema: { type: "object", properties: { city: { type: "string" } }, required: ["city"] },
};
const paris = [{ role: "user", content: "What is the weather in Paris?" }];
const say = (step, value) => console.log(JSON.stringify({ step, ...value }));

const message = await client.messages.create({ model: MODEL, max_tokens: 128, system: "You are XAI", messages });
say("whole", { text: message.content[0].text, usage: message.usage, id: message._request_id });

const kinds = [];
for await (const event of await client.messages.create({ model: MODEL, max_tokens: 128, messages, stream: true })) {
  kinds.push(event.type);
}
say("stream", { first: kinds[0], last: kinds.at(-1) });

const helper = client.messages.stream({ model: MODEL, max_tokens: 128, messages });
const final = await helper.finalMessage();
say("helper", { text: final.content[0].text, usage: final.usage });

const called = await client.messages.create({ model: MODEL, max_tokens: 500, messages: paris, tools: [weather] });
const call = called.content.find((block) => block.type === "tool_use");
const told = await client.messages.create({
  model: MODEL,
  max_tokens: 500,
  tools: [weather],
  messages: [
    ...paris,
    { role: "assistant", content: called.content },
    { role: "user", content: [{ type: "tool_result", tool_use_id: call.id, content: "18 degrees" }] },
  ],
});
say("tools", { name: call.name, told: told.content.map((block) => block.text ?? "").join("") });

const counted = await client.messages.countTokens({ model: MODEL, messages });
say("count", { tokens: counted.input_tokens });

const paged = [];
for await (const model of client.models.list({ limit: 7 })) paged.push(model.id);
const whole = await client.models.list({ limit: 1000 });
say("models", { paged: paged.length, whole: whole.data.length, more: whole.has_more });

const errors = {};
for (const [name, change] of Object.entries({
  model: { model: "nothing" },
  field: { max_tokens: -1 },
})) {
  try {
    await client.messages.create({ model: MODEL, max_tokens: 50, messages, ...change });
  } catch (error) {
    errors[name] = { kind: error.constructor.name, status: error.status, id: error.requestID };
  }
}
const wrong = new Anthropic({ apiKey: "tg_wrong", baseURL: BASE_URL, maxRetries: 0 });
await wrong.messages.create({ model: MODEL, max_tokens: 50, messages }).catch((error) => {
  errors.key = { kind: error.constructor.name, status: error.status, id: error.requestID };
});
say("errors", { errors });
