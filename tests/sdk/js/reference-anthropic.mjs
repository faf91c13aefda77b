// The reference page's program for Anthropic's client; only the key and the base URL are another.
import Anthropic from "@anthropic-ai/sdk";
const anthropic = new Anthropic({
  apiKey: process.env.KEY,
  baseURL: `${process.env.BASE_URL}/`,
});
const msg = await anthropic.messages.create({
  model: "claude-3-5-sonnet-latest",
  max_tokens: 128,
  system: "You are XAI",
  messages: [
    {
      role: "user",
      content: "What is the meaning of life, the universe, and everything?",
    },
  ],
});
console.log(msg);
