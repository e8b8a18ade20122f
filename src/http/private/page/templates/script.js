"use strict";
// Adds ages to times, and keeps the page up to date. Without it, the page shows the time of its rendering.
(() => {
  const { root, page, assets, now } = document.body.dataset;
  const RETRY = 30_000; // After an answer that is no stream: too many pages are open, or a proxy has no answer.
  const SILENCE = 30_000; // The server sends something every 10 s.
  const PATIENCE = 5_000; // A stream that ends is followed by the next one. It is not worth a message.
  let state = document.body.dataset.state;
  let ahead = Date.parse(now) - Date.now();
  let source;
  let timer;
  let isLive = false;

  // Ages

  function span(seconds) {
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return `${Math.floor(seconds / 86400)} days`;
  }

  function showAges() {
    const current = Date.now() + ahead;
    for (const time of document.querySelectorAll("time[datetime]")) {
      const seconds = Math.round((current - Date.parse(time.dateTime)) / 1000);
      const age = seconds < 0 ? ` (in ${span(-seconds)})` : ` (${span(seconds)} ago)`;
      let element = time.querySelector(".age");
      if (!element) {
        element = document.createElement("span");
        element.className = "age";
        time.append(element);
      }
      if (element.textContent !== age) element.textContent = age;
    }
  }

  // Fragments

  function parse(html) {
    const template = document.createElement("template");
    template.innerHTML = html;
    return template.content.firstElementChild;
  }

  // Makes an element equal to another one. What stays keeps focus, selection, scroll position and whether it is open.
  function change(old, fresh) {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.data !== fresh.data) old.data = fresh.data;
      return;
    }
    if (old.nodeName === "TIME" && old.dateTime === fresh.dateTime) return;
    for (const { name } of [...old.attributes])
      if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    for (const { name, value } of fresh.attributes)
      if (name !== "open" && old.getAttribute(name) !== value) old.setAttribute(name, value);
    const byId = new Map([...old.children].filter(({ id }) => id).map((child) => [child.id, child]));
    let at = old.firstChild;
    for (const child of [...fresh.childNodes]) {
      const same = child.id ? byId.get(child.id) : at && !at.id && at.nodeName === child.nodeName ? at : undefined;
      if (same && same === at) at = at.nextSibling;
      else old.insertBefore(same || child, at);
      if (same) change(same, child);
    }
    while (at) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
  }

  // Puts the fragments in this order, adds new ones and removes those that no longer exist.
  function arrange(order, fragments) {
    const all = document.getElementById("fragments");
    for (const child of [...all.children]) if (!order.includes(child.id)) child.remove();
    order.forEach((id, index) => {
      const element = document.getElementById(id) || parse(fragments[id]);
      if (all.children[index] !== element) all.insertBefore(element, all.children[index] || null);
    });
  }

  function update(message) {
    if (message.assets !== assets) {
      location.reload();
      return;
    }
    const focused = document.activeElement;
    ahead = Date.parse(message.now) - Date.now();
    if (message.order) arrange(message.order, message.fragments);
    for (const [id, html] of Object.entries(message.fragments)) {
      const old = document.getElementById(id);
      if (old) change(old, parse(html));
    }
    const asOf = document.querySelector("#as-of time");
    asOf.dateTime = message.now;
    asOf.textContent = `${message.now.slice(0, 10)} ${message.now.slice(11, 19)} UTC`;
    showAges();
    if (focused.isConnected && focused !== document.activeElement) focused.focus({ preventScroll: true });
  }

  // The stream

  function say(text) {
    const line = document.getElementById("updates");
    if (line.textContent !== text) line.textContent = text;
    line.className = text === "live" ? "ok" : "warn";
  }

  function later(milliseconds, then) {
    clearTimeout(timer);
    timer = setTimeout(then, milliseconds);
  }

  function isAlive() {
    isLive = true;
    say("live");
    later(SILENCE, reconnect);
  }

  function reconnect() {
    isLive = false;
    say("reconnecting");
    connect();
  }

  function connect() {
    disconnect();
    source = new EventSource(`${root}/updates?page=${encodeURIComponent(page)}&have=${state}`);
    source.addEventListener("beat", isAlive);
    source.onmessage = (event) => {
      state = event.lastEventId;
      update(JSON.parse(event.data));
      isAlive();
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) {
        isLive = false;
        say("not updating");
        later(RETRY, connect);
      } else if (isLive) {
        // The browser opens the next stream by itself. Each attempt that fails comes here.
        isLive = false;
        later(PATIENCE, reconnect);
      }
    };
    later(SILENCE, reconnect);
  }

  function disconnect() {
    clearTimeout(timer);
    if (source) source.close();
  }

  showAges();
  setInterval(showAges, 1000);
  if (page === undefined || !window.EventSource) return;
  // Browsers open few connections to a host, so hidden pages have none. Neither have those that the browser
  // keeps for its back and forward buttons.
  const follow = () => (document.visibilityState === "visible" ? connect() : disconnect());
  document.addEventListener("visibilitychange", follow);
  window.addEventListener("pagehide", disconnect);
  window.addEventListener("pageshow", (event) => event.persisted && follow());
  follow();
})();
