// The page as it is now: the socket says what changed, the changed fragments are fetched over HTTP.
//
// An element with an id, data-live ("queue", "policy", "case:<uuid>") and data-url is replaced by the
// element of the same id in what that URL answers. A form somebody is filling in is left alone.

import { arrived } from "./app.js";

const DEBOUNCE_MS = 150;
const POLL_MS = 15_000;
// A message may get lost on its way: whatever is shown is asked for now and then.
const CHECK_MS = 60_000;
const LONGEST_WAIT_MS = 30_000;
// From this many failed attempts on, the page asks by itself.
const ATTEMPTS_BEFORE_POLLING = 2;

const status = document.getElementById("live-status");
const announcer = document.getElementById("announcer");
const due = new Set();
let timer = 0;
let poll = 0;
let attempts = 0;

// A queue that changed because of a case says which: its page has changed as well.
const topicsOf = ({ kind, id }) => [...(kind === "case" ? [] : [kind]), ...(id ? [`case:${id}`] : [])];
const liveElements = () => [...document.querySelectorAll("[data-live][data-url]")];

function say(word, live) {
  if (status.textContent !== word) status.textContent = word;
  status.toggleAttribute("data-live-now", live);
}

function schedule(topics) {
  for (const topic of topics) due.add(topic);
  clearTimeout(timer);
  timer = setTimeout(refresh, DEBOUNCE_MS);
}

const scheduleAll = () => schedule(liveElements().map((element) => element.dataset.live));

async function refresh() {
  const stale = liveElements().filter((element) => due.has(element.dataset.live));
  due.clear();
  const urls = new Set(stale.map((element) => element.dataset.url));
  await Promise.all([...urls].map((url) => refetch(url, stale.filter((e) => e.dataset.url === url))));
}

async function refetch(url, elements) {
  // The address may carry a filter that this very fragment was made with.
  const here = new URL(url, location.href);
  if (here.pathname === location.pathname) here.search = location.search;
  let answer;
  try {
    answer = await fetch(here, { headers: { "HX-Request": "true" }, cache: "no-store" });
  } catch {
    return;
  }
  if (answer.redirected || answer.status === 403) {
    if (!document.querySelector("[data-guard][data-touched]")) location.reload();
    return;
  }
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const source of fresh.querySelectorAll("[data-for]")) setCount(document.getElementById(source.dataset.for), source.dataset.count);
  for (const element of elements) replace(element, fresh.getElementById(element.id));
}

function replace(old, fresh) {
  if (!fresh || !old.isConnected) return;
  const guarded = old.querySelector("[data-guard]");
  if (guarded && (guarded.contains(document.activeElement) || guarded.dataset.touched)) {
    const changed = old.querySelector("[data-changed]");
    if (changed) changed.hidden = fresh.dataset.state === old.dataset.state;
    return;
  }
  const focused = old.contains(document.activeElement) ? pathTo(document.activeElement, old) : null;
  const open = [...old.querySelectorAll("details[open]")].map((element) => pathTo(element, old));
  fresh = document.adoptNode(fresh);
  keepPictures(old, fresh);
  keepTyped(old, fresh);
  announce(old, fresh);
  old.replaceWith(fresh);
  for (const path of open) follow(path, fresh)?.setAttribute("open", "");
  if (focused) follow(focused, fresh)?.focus({ preventScroll: true });
  window.htmx?.process(fresh);
  arrived(fresh);
}

function setCount(element, count) {
  if (!element) return;
  element.textContent = count;
  element.hidden = count === "0";
}

// A live region that is swapped itself is not read out: what changed is said in one that stays.
function announce(old, fresh) {
  const words = (part) => part.textContent.replace(/\s+/g, " ").trim();
  for (const part of fresh.querySelectorAll("[data-announce]")) {
    const before = old.querySelector(`#${CSS.escape(part.id)}`);
    if (before && words(before) !== words(part)) announcer.textContent = words(part);
  }
}

function keepPictures(old, fresh) {
  // A thumbnail that stays is moved, not loaded again: no flicker, and one that was shown stays so.
  const known = new Map([...old.querySelectorAll("img[data-photo]")].map((img) => [img.getAttribute("src"), img]));
  for (const img of fresh.querySelectorAll("img[data-photo]")) {
    const same = known.get(img.getAttribute("src"));
    if (same) img.replaceWith(same);
  }
}

const FIELDS = "input:not([type=hidden]), select, textarea";
const ticks = (field) => field.type === "checkbox" || field.type === "radio";
const nameOf = (field) => [field.form?.getAttribute("action"), field.name, ticks(field) ? field.value : ""].join(" ");
const changed = (field) => {
  if (ticks(field)) return field.checked !== field.defaultChecked;
  if (field.options) return [...field.options].some((option) => option.selected !== option.defaultSelected);
  return field.value !== field.defaultValue;
};

// What somebody has chosen or typed, and not sent yet, is theirs: a refresh never puts it back.
function keepTyped(old, fresh) {
  const typed = new Map([...old.querySelectorAll(FIELDS)].filter(changed).map((field) => [nameOf(field), field]));
  for (const field of fresh.querySelectorAll(FIELDS)) {
    const before = typed.get(nameOf(field));
    if (!before) continue;
    if (ticks(field)) field.checked = before.checked;
    else if (!field.options || [...field.options].some((option) => option.value === before.value)) field.value = before.value;
  }
}

// Where an element stands: by its id or address if it has one, else by its place among the same tags.
function pathTo(element, within) {
  if (element.id) return `#${CSS.escape(element.id)}`;
  if (element.href) return `a[href="${CSS.escape(element.getAttribute("href"))}"]`;
  const tag = element.tagName.toLowerCase();
  return [tag, [...within.querySelectorAll(tag)].indexOf(element)];
}

function follow(path, within) {
  return typeof path === "string" ? within.querySelector(path) : within.querySelectorAll(path[0])[path[1]];
}

function setPolling(on) {
  clearInterval(poll);
  if (on) poll = setInterval(scheduleAll, POLL_MS);
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/`);
  socket.addEventListener("open", () => {
    attempts = 0;
    setPolling(false);
    say(status.dataset.liveWord, true);
    scheduleAll();
  });
  socket.addEventListener("message", (message) => schedule(topicsOf(JSON.parse(message.data))));
  socket.addEventListener("close", () => {
    attempts += 1;
    const polling = attempts > ATTEMPTS_BEFORE_POLLING;
    if (attempts === ATTEMPTS_BEFORE_POLLING + 1) setPolling(true);
    say(polling ? status.dataset.pollingWord : status.dataset.waitingWord, false);
    setTimeout(connect, Math.min(LONGEST_WAIT_MS, 500 * 2 ** attempts) * (0.5 + Math.random() / 2));
  });
}

document.addEventListener("input", (event) => {
  const guarded = event.target.closest("[data-guard]");
  if (guarded) guarded.dataset.touched = "yes";
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) scheduleAll();
});

setInterval(scheduleAll, CHECK_MS);
connect();
