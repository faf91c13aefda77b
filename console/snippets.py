"""Ready pieces of code for a key: curl, both SDKs in both languages, coding agents. Pure.

What is shown once with a secret, and in the documentation without one, is the same text.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import NamedTuple

VARIABLE = "TOLLGATE_API_KEY"
CHAT, MESSAGES, RESPONSES = "chat.completions", "messages", "responses"


class Snippet(NamedTuple):
    """`endpoint` is what it calls: a key, or this version, may not have it."""

    name: str
    title: str
    text: str
    endpoint: str


def compose_snippets(
    *, public_url: str, key: str | None, model: str, endpoints: Collection[str]
) -> list[Snippet]:
    """Return those whose endpoint is one of `endpoints`. Without `key` each reads it from VARIABLE,
    as its language does."""
    in_python = f'"{key}"' if key else f'os.environ["{VARIABLE}"]'
    in_js = f'"{key}"' if key else f"process.env.{VARIABLE}"
    in_shell = key or f"${VARIABLE}"
    ways = (
        Snippet("curl", "curl", _curl(public_url, in_shell, model), CHAT),
        Snippet(
            "openai-python",
            "Python, OpenAI SDK",
            _openai_python(public_url, in_python, model),
            CHAT,
        ),
        Snippet("openai-js", "JavaScript, OpenAI SDK", _openai_js(public_url, in_js, model), CHAT),
        Snippet(
            "anthropic-python",
            "Python, Anthropic SDK",
            _anthropic_python(public_url, in_python, model),
            MESSAGES,
        ),
        Snippet(
            "anthropic-js",
            "JavaScript, Anthropic SDK",
            _anthropic_js(public_url, in_js, model),
            MESSAGES,
        ),
        Snippet("claude-code", "Claude Code", _claude_code(public_url, in_shell, model), MESSAGES),
        Snippet("codex", "Codex", _codex(public_url, in_shell, model), RESPONSES),
        Snippet(
            "other", "Anything that speaks OpenAI's API", _other(public_url, in_shell, model), CHAT
        ),
    )
    return [way for way in ways if way.endpoint in endpoints]


def _curl(url: str, key: str, model: str) -> str:
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Say hello."}]})
    return f"""curl {url}/v1/chat/completions \\
  -H "Authorization: Bearer {key}" \\
  -H "Content-Type: application/json" \\
  -d '{body}'"""


def _openai_python(url: str, key: str, model: str) -> str:
    return f"""# pip install openai
{_imports(key)}from openai import OpenAI

client = OpenAI(api_key={key}, base_url="{url}/v1")
completion = client.chat.completions.create(
    model="{model}",
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(completion.choices[0].message.content)"""


def _imports(key: str) -> str:
    return "import os\n\n" if key.startswith("os.") else ""


def _openai_js(url: str, key: str, model: str) -> str:
    return f"""// npm install openai; a file named .mjs
import OpenAI from "openai";

const client = new OpenAI({{ apiKey: {key}, baseURL: "{url}/v1" }});
const completion = await client.chat.completions.create({{
  model: "{model}",
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(completion.choices[0].message.content);"""


def _anthropic_python(url: str, key: str, model: str) -> str:
    return f"""# pip install anthropic
{_imports(key)}from anthropic import Anthropic

client = Anthropic(api_key={key}, base_url="{url}")
message = client.messages.create(
    model="{model}",
    max_tokens=256,
    messages=[{{"role": "user", "content": "Say hello."}}],
)
print(message.content[0].text)"""


def _anthropic_js(url: str, key: str, model: str) -> str:
    return f"""// npm install @anthropic-ai/sdk; a file named .mjs
import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({{ apiKey: {key}, baseURL: "{url}" }});
const message = await client.messages.create({{
  model: "{model}",
  max_tokens: 256,
  messages: [{{ role: "user", content: "Say hello." }}],
}});
console.log(message.content[0].text);"""


def _claude_code(url: str, key: str, model: str) -> str:
    return f"""export ANTHROPIC_BASE_URL="{url}"
export ANTHROPIC_AUTH_TOKEN="{key}"
export ANTHROPIC_MODEL="{model}"
claude"""


def _codex(url: str, key: str, model: str) -> str:
    export = "" if key.startswith("$") else f'export {VARIABLE}="{key}"\n'
    return f"""# ~/.codex/config.toml
model = "{model}"
model_provider = "tollgate"

[model_providers.tollgate]
name = "Tollgate"
base_url = "{url}/v1"
env_key = "{VARIABLE}"
wire_api = "responses"

# then, in the shell:
{export}codex"""


def _other(url: str, key: str, model: str) -> str:
    return f"""export OPENAI_BASE_URL="{url}/v1"
export OPENAI_API_KEY="{key}"
# the model: {model}"""
