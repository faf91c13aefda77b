/* What JavaScript adds to pages that work without it: copying, and a test call that streams. */
(() => {
  "use strict";

  const copied = document.querySelector("[data-copied]");

  async function copy(button) {
    const source = document.querySelector(button.dataset.copy);
    const told = button.firstChild;
    try {
      await navigator.clipboard.writeText(source.textContent);
      const before = told.nodeValue;
      told.nodeValue = "Copied";
      if (copied) copied.textContent = "Copied.";
      setTimeout(() => { told.nodeValue = before; }, 1500);
    } catch {
      getSelection().selectAllChildren(source);
    }
  }

  function explain(text, status) {
    try {
      return JSON.parse(text).error.message;
    } catch {
      return `The call ended with ${status}.`;
    }
  }

  async function* readEvents(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        const data = line.startsWith("data:") ? line.slice(5).trim() : "";
        if (data && data !== "[DONE]") yield JSON.parse(data);
      }
    }
  }

  // How each endpoint is asked for a sentence, and where its events have the text.
  const QUESTION = "Say hello in one sentence.";
  const MESSAGES = [{ role: "user", content: QUESTION }];
  const WAYS = {
    "/v1/chat/completions": {
      body: { max_tokens: 100, messages: MESSAGES },
      text: (event) => event.choices?.[0]?.delta?.content,
    },
    "/v1/messages": {
      body: { max_tokens: 100, messages: MESSAGES },
      text: (event) => event.delta?.text,
    },
    "/v1/responses": {
      body: { max_output_tokens: 100, input: QUESTION },
      text: (event) => event.type === "response.output_text.delta" && event.delta,
    },
  };

  async function testCall(card) {
    const path = card.dataset.testCall, way = WAYS[path];
    const answer = card.querySelector(".answer");
    const button = card.querySelector("button");
    answer.hidden = false;
    answer.textContent = "";
    button.disabled = true;
    try {
      const response = await fetch(path, {
        method: "POST",
        headers: {
          "Authorization": `Bearer ${document.querySelector("#secret").textContent}`,
          "Content-Type": "application/json",
        },
        body: JSON.stringify({
          ...way.body,
          model: card.querySelector("select").value,
          stream: true,
        }),
      });
      if (!response.ok) {
        answer.textContent = explain(await response.text(), response.status);
        return;
      }
      for await (const event of readEvents(response.body)) {
        const error = event.error ?? event.response?.error;
        if (error) throw new Error(error.message);
        answer.textContent += way.text(event) || "";
      }
      if (!answer.textContent) answer.textContent = "The answer came, without any text.";
    } catch (error) {
      answer.textContent += `\n\nThe call broke off: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", () => copy(button));
  }
  for (const card of document.querySelectorAll("[data-test-call]")) {
    card.hidden = false;
    card.querySelector("button").addEventListener("click", () => testCall(card));
  }
  // What has to be mended may lie far below on a long form.
  document.querySelector("main [aria-invalid='true']")?.focus();
  // A part of a page that cannot be had as such (one has to sign in, nothing is called so) is asked
  // for as a page.
  const goThere = (event) => location.assign(event.detail.pathInfo.finalRequestPath);
  document.addEventListener("htmx:responseError", goThere);
  document.addEventListener("htmx:beforeSwap", (event) => {
    const asked = new URL(event.detail.pathInfo.finalRequestPath, location.href).pathname;
    if (new URL(event.detail.xhr.responseURL).pathname === asked) return;
    event.detail.shouldSwap = false;
    goThere(event);
  });
  // One menu at a time, closed by Escape and by a click elsewhere.
  const menus = document.querySelectorAll("details.menu");
  const closeMenus = (kept) => menus.forEach((menu) => { if (menu !== kept) menu.open = false; });
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const open = document.querySelector("details.menu[open]");
    if (open) { open.open = false; open.querySelector("summary").focus(); }
  });
})();
