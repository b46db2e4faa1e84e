// Keeps a page up to date: fetches it anew when the worker has news, lets countdowns run, tells times
// in this browser's zone, and says when what is shown is no longer the present.
"use strict";

const STALE_S = 40; // the worker has news at least every 15 s
const byId = (id) => document.getElementById(id);
const main = () => byId("main");
let heardAt = performance.now();
let shownAt = performance.now();
let waiting = false;
let summary = byId("summary")?.textContent;

// --- times ---

const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
const isUtc = new Date().getTimezoneOffset() === 0;
const sameDay = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const otherDay = new Intl.DateTimeFormat([], {
  weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23",
});

const tellZone = () => {
  if (byId("zone") && !isUtc) byId("zone").textContent = `; in brackets your own (${zone})`;
};

const tellLocal = (root) => {
  if (isUtc) return;
  for (const time of root.querySelectorAll("time[datetime]:not([data-relative])")) {
    if (time.querySelector(".local")) continue;
    const at = new Date(time.dateTime);
    const format = at.toDateString() === new Date().toDateString() ? sameDay : otherDay;
    const local = document.createElement("span");
    local.className = "local";
    local.textContent = ` (${format.format(at)})`;
    time.append(local);
  }
};

const span = (seconds) => {
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = Math.max(0, units.findIndex(([size]) => seconds >= size));
  if (seconds < 1) return "0 s";
  const parts = [];
  let left = Math.round(seconds);
  for (const [size, name] of units.slice(first, first + 2)) {
    const count = Math.floor(left / size);
    if (count) parts.push(`${count} ${name}`);
    left -= count * size;
  }
  return parts.join(" ");
};

// The page's own time: the worker's at the moment it was made, and what has passed since.
const now = () => Date.parse(main().dataset.now) + performance.now() - shownAt;

const tick = () => {
  if (!main()?.dataset.now) return;
  for (const time of document.querySelectorAll("time[data-relative]")) {
    const ahead = (Date.parse(time.dateTime) - now()) / 1000;
    const text = ahead > 0 ? `in ${span(ahead)}` : `${span(-ahead)} ago`;
    const due = time.classList.contains("countdown") && ahead <= 0;
    const said = due ? "now" : text;
    if (time.textContent !== said) time.textContent = said;
  }
  const silent = (performance.now() - heardAt) / 1000;
  if (silent > STALE_S) say(`stale: nothing heard for ${span(silent)}`, "stale");
};

// --- news ---

const say = (text, state) => {
  const live = byId("live");
  if (!live || live.textContent === text) return;
  live.textContent = text;
  live.dataset.state = state;
};

// Charts and forms that somebody is at stay as they are.
const keep = (old, fresh) => {
  for (const had of old.querySelectorAll("[data-keep][id]")) {
    const has = fresh.querySelector(`#${CSS.escape(had.id)}`);
    const busy = had.dataset.keep === "chart" || had.contains(document.activeElement)
      || had.value || had.open || had.querySelector("details[open]");
    if (has && has.dataset.keep === had.dataset.keep && busy) has.replaceWith(had);
  }
};

const put = (fresh) => {
  const old = main();
  const next = fresh.getElementById("main");
  document.title = fresh.title;
  const told = fresh.getElementById("summary")?.textContent;
  if (told !== summary) byId("news").textContent = told; // read out by screen readers
  summary = told;
  const focused = old.contains(document.activeElement) ? document.activeElement : null;
  keep(old, next);
  tellLocal(next);
  old.replaceWith(next);
  shownAt = performance.now();
  if (focused && document.activeElement !== focused) {
    (focused.isConnected ? focused : byId(focused.id))?.focus({ preventScroll: true });
  }
  tick();
  filter();
  document.dispatchEvent(new Event("fresh"));
};

const refresh = async () => {
  waiting = false;
  try {
    const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
    if (!answer.ok) throw new Error(answer.status);
    const text = await answer.text();
    heardAt = performance.now();
    put(new DOMParser().parseFromString(text, "text/html"));
    say("live", "live");
  } catch {
    say("the worker does not answer", "stale");
  }
};

const hear = () => {
  heardAt = performance.now();
  if (waiting) return;
  waiting = true;
  if (!document.hidden) refresh();
};

document.addEventListener("visibilitychange", () => {
  if (!document.hidden && waiting) refresh();
});

// --- many objectives ---

const filter = () => {
  const wanted = byId("filter")?.value.trim().toLowerCase();
  if (wanted === undefined) return;
  for (const card of document.querySelectorAll(".card[data-name]")) {
    card.hidden = !card.dataset.name.toLowerCase().includes(wanted);
  }
};
document.addEventListener("input", (event) => event.target.id === "filter" && filter());

tellZone();
tellLocal(document);
tick();
setInterval(tick, 1000);

const events = new EventSource("/events");
events.addEventListener("open", hear);
events.addEventListener("change", hear);
events.addEventListener("error", () => say("the worker does not answer", "stale"));
