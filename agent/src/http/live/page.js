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
