// Fetches the page anew when the worker says that there is news. Without it the page reloads itself.
"use strict";

const live = document.getElementById("live");
let waiting = false;

const say = (text) => {
  if (live && live.textContent !== text) live.textContent = text;
};

const parts = (root) => [...root.querySelectorAll("details[open][id]")].map((part) => part.id);

const put = (fresh) => {
  const old = document.getElementById("main");
  const main = fresh.getElementById("main");
  for (const id of parts(old)) main.querySelector(`#${CSS.escape(id)}`)?.setAttribute("open", "");
  const summary = fresh.getElementById("summary");
  const shown = document.getElementById("summary");
  if (shown.textContent !== summary.textContent) shown.textContent = summary.textContent;
  document.title = fresh.title;
  if (old.innerHTML === main.innerHTML) return;
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  old.replaceWith(main);
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
};

const refresh = async () => {
  waiting = false;
  try {
    const answer = await fetch(location.pathname, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    put(new DOMParser().parseFromString(await answer.text(), "text/html"));
    say("live");
  } catch {
    say("the worker does not answer");
  }
};

const hear = () => {
  if (waiting) return;
  waiting = true;
  if (!document.hidden) refresh();
};

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && waiting) refresh();
});

// A link to an objective's figures opens them.
const open = () => document.getElementById(location.hash.slice(1))?.setAttribute("open", "");
addEventListener("hashchange", open);
open();

const events = new EventSource("/events");
events.addEventListener("open", hear);
events.addEventListener("change", hear);
events.addEventListener("error", () => say("the worker does not answer"));
