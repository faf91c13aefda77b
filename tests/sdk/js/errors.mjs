// Both JavaScript clients against what refuses them: CASES is a list of {step, vendor, url, key, model}.
import Anthropic from "@anthropic-ai/sdk";
import OpenAI from "openai";

const messages = [{ role: "user", content: "Hello" }];

function ask({ vendor, url, key, model }) {
  const options = { apiKey: key, maxRetries: 0 };
  if (vendor === "openai") {
    const client = new OpenAI({ ...options, baseURL: `${url}/v1` });
    return client.chat.completions.create({ model, messages, max_tokens: 50 });
  }
  return new Anthropic({ ...options, baseURL: url }).messages.create({ model, messages, max_tokens: 50 });
}

for (const one of JSON.parse(process.env.CASES)) {
  const said = await ask(one).then(
    () => ({ kind: "none" }),
    (error) => ({
      kind: error.constructor.name,
      status: error.status,
      id: error.requestID,
      message: (one.vendor === "openai" ? error.error?.message : error.error?.error?.message) ?? "",
    }),
  );
  console.log(JSON.stringify({ step: one.step, ...said }));
}
