"use strict";
// Puts in what the agent sends, and says so when it sends nothing any more.
const main = document.querySelector("main");
const sign = document.querySelector("#sign");
let heard = Date.now();

function say(state, text) {
  document.body.dataset.state = sign.dataset.state = state;
  sign.textContent = text;
}

let events;

function connect() {
  events?.close();
  events = new EventSource("/-/live");
  events.addEventListener("main", (event) => {
    main.innerHTML = event.data;
    alive();
  });
  events.addEventListener("alive", alive);
  events.onerror = () => {
    events.close();
    lost();
    setTimeout(connect, 2000);
  };
}

function alive() {
  heard = Date.now();
  say("live", "live");
}

function lost() {
  say("lost", `no word for ${Math.round((Date.now() - heard) / 1000)} s: stale, connecting again`);
}

// The agent says something every five seconds, if only that it is there. A connection may be dead and not know it.
setInterval(() => Date.now() - heard > 12000 && lost(), 1000);
setInterval(() => Date.now() - heard > 30000 && events.readyState === EventSource.OPEN && connect(), 10000);
connect();

// Single events: read only while somebody has opened their place, for it is noted who sees them.
const EVENTS_EVERY = 5000;

function colour(name, value) {
  if (/status|code/i.test(name) && /^[1-5]..$/.test(value)) return { 2: "good", 4: "warn", 5: "bad" }[value[0]] ?? "";
  if (/level|severity/i.test(name)) return /error|fatal|critical/i.test(value) ? "bad" : /warn/i.test(value) ? "warn" : "";
  if (!/type/i.test(name)) return "";
  const sum = [...value].reduce((sum, letter) => (sum * 31 + letter.codePointAt(0)) % 9973, 0);
  return `kind${sum % 6}`;
}

function cell(tag, text, kind) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function line(tag, cells) {
  const row = document.createElement("tr");
  row.append(...cells.map(([text, kind]) => cell(tag, text, kind)));
  return row;
}

async function events_of(place) {
  const status = place.querySelector("[role=status]");
  try {
    const answer = await fetch(`/api/v1/events/${encodeURIComponent(place.dataset.source)}?page_size=50`);
    const page = await answer.json();
    if (!answer.ok) throw new Error(page.message);
    const events = page.events ?? [];
    const names = [...new Set(events.flatMap((event) => Object.keys(event.fields ?? {})))].sort();
    const unusual = (event) => (event.unusual ?? []).map((of) => `${of.above ? "▲" : "▼"} ${of.aggregate}.${of.measure}`).join(" ");
    const marked = events.some(unusual) ? ["unusual"] : [];
    const time = (event) => (event.eventTime ?? "").slice(11, 19);
    place.querySelector("thead").replaceChildren(line("th", [["time"], ...[...names, ...marked].map((name) => [name])]));
    const rows = events.map((event) =>
      line("td", [[time(event)], ...names.map((name) => [event.fields?.[name] ?? "", colour(name, event.fields?.[name] ?? "")]),
        ...marked.map(() => [unusual(event), "warn"])]));
    place.querySelector("tbody").replaceChildren(...rows);
    status.textContent = `the newest ${events.length}, as of ${new Date().toISOString().slice(11, 19)}Z`;
  } catch (error) {
    status.textContent = `not shown: ${error.message}`;
  }
}

for (const place of document.querySelectorAll("details.events")) {
  let timer;
  const look = async () => {
    if (!document.hidden) await events_of(place);
    if (place.open) timer = setTimeout(look, EVENTS_EVERY);
  };
  place.addEventListener("toggle", () => {
    clearTimeout(timer);
    if (place.open) look();
  });
}
