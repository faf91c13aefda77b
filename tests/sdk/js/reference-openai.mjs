// The reference page's program for OpenAI's client; only the key and the base URL are another.
import OpenAI from "openai";
const openai = new OpenAI({
  apiKey: process.env.KEY,
  baseURL: `${process.env.BASE_URL}/v1`,
});
const completion = await openai.chat.completions.create({
  model: "gpt-4o",
  messages: [
    { role: "system", content: "You are XAI" },
    {
      role: "user",
      content: "What is the meaning of life, the universe, and everything?",
    },
  ],
});
console.log(completion.choices[0].message);
