// What every page has: the CSRF header, local times, dialogs, remembered switches, single keys.

import { showKeys, usualKey } from "./keys.js";

const store = {
  get: (name) => localStorage.getItem(`alarm-${name}`) === "on",
  set: (name, on) => localStorage.setItem(`alarm-${name}`, on ? "on" : "off"),
};
const root = document.documentElement;

// Runs before the first paint, so that no photo shows for a moment.
root.toggleAttribute("data-blur", store.get("blur"));

export const csrfToken = () => document.querySelector('meta[name="csrf-token"]').content;

// "en" alone would put the month before the day.
export const LOCALE = root.lang === "en" ? "en-GB" : root.lang;
const FORMS = {
  "j M, H:i": { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" },
  "j M Y, H:i": { day: "numeric", month: "short", year: "numeric", hour: "2-digit", minute: "2-digit" },
  "j M Y": { day: "numeric", month: "short", year: "numeric" },
  "j M": { day: "numeric", month: "short" },
  "j F": { day: "numeric", month: "long" },
  "H:i": { hour: "2-digit", minute: "2-digit" },
};

export function localTimes(within = document) {
  for (const time of within.querySelectorAll("time[data-form]")) {
    const when = new Date(time.dateTime);
    const form = new Intl.DateTimeFormat(LOCALE, { ...FORMS[time.dataset.form], hour12: false });
    time.textContent = form.format(when);
    time.title = when.toLocaleString(LOCALE);
  }
}

// A part of the page has been swapped.
export function arrived(part) {
  localTimes(part);
  showKeys(part);
  document.dispatchEvent(new CustomEvent("alarm:arrived", { detail: part }));
}

function showSwitches() {
  for (const button of document.querySelectorAll('[data-toggle="blur"]')) {
    button.setAttribute("aria-pressed", String(root.hasAttribute("data-blur")));
  }
  for (const box of document.querySelectorAll('[data-toggle="keys"]')) box.checked = !store.get("no-keys");
}

function onClick(event) {
  const target = event.target.closest("[data-dialog], [data-toggle], [data-fill], [data-reveal], [data-print]");
  const menu = document.querySelector(".account[open]");
  if (menu && (!menu.contains(event.target) || target)) menu.open = false;
  if (!target) return;
  const { dialog, toggle, fill } = target.dataset;
  if (dialog) document.getElementById(dialog).showModal();
  if (toggle === "blur") {
    store.set("blur", root.toggleAttribute("data-blur"));
    for (const photo of document.querySelectorAll(".shown")) photo.classList.remove("shown");
  }
  if (toggle === "keys") store.set("no-keys", !target.checked);
  if ("reveal" in target.dataset) {
    for (const photo of target.closest(".stage").querySelectorAll("[data-photo]:not([hidden])")) photo.classList.add("shown");
  }
  if ("print" in target.dataset) window.print();
  if (fill) {
    document.getElementById(fill).value = target.dataset.value;
    document.getElementById(target.dataset.then).focus();
  }
  showSwitches();
}

const typing = (element) =>
  element.isContentEditable || element.matches('textarea, select, input:not([type="radio"], [type="checkbox"], [type="range"])');

function press(element) {
  if (typing(element)) element.focus();
  else element.click();
  if (element.type === "radio") element.focus();
}

// Whether nothing that has the focus wants the arrows.
const isIdle = () => document.activeElement === document.body || document.activeElement?.matches("#main, .stage-view");

// In a list of cases: from one to that above or below it.
function toCase(event) {
  const links = [...document.querySelectorAll("main .row-link")];
  const at = links.indexOf(document.activeElement);
  if (!links.length || (at < 0 && !isIdle())) return;
  event.preventDefault();
  links[at + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
}

function onKey(event) {
  if (event.defaultPrevented || event.isComposing) return;
  const dialog = document.querySelector("dialog[open]");
  const answer = document.querySelector(event.shiftKey ? "[data-submit-stay]" : "[data-submit]");
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && answer && !dialog) {
    event.preventDefault();
    answer.form.requestSubmit(answer);
    return;
  }
  if (event.key === "Escape" && typing(event.target)) event.target.blur();
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  if (dialog) {
    const choice = dialog.querySelector(`[data-choice="${CSS.escape(event.key)}"]`);
    if (choice && !store.get("no-keys")) choice.click();
    return;
  }
  if (store.get("no-keys")) return;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    toCase(event);
    return;
  }
  // Each case that is opened is looked at: a key that is held down opens one.
  if (event.key.startsWith("Arrow") && (event.repeat || !isIdle())) return;
  const element = document.querySelector(`[data-key="${CSS.escape(usualKey(event))}"]:not(:disabled)`);
  if (!element || element.closest("[hidden]")) return;
  event.preventDefault();
  press(element);
}

function once(event) {
  // A second click must not send a form twice; the page that comes back has fresh buttons.
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
}

document.addEventListener("click", onClick);
document.addEventListener("keydown", onKey);
document.addEventListener("submit", once);
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-sent]")) delete form.dataset.sent;
});
document.addEventListener("htmx:configRequest", (event) => {
  event.detail.headers["X-CSRFToken"] = csrfToken();
});
document.addEventListener("htmx:afterRequest", (event) => delete event.target.dataset?.sent);
document.addEventListener("htmx:load", (event) => arrived(event.detail.elt));
document.addEventListener("DOMContentLoaded", () => {
  // The page of a case as the answer to a form: a reload is to ask for the case, not to send the form again.
  const { address } = document.body.dataset;
  if (address) history.replaceState(null, "", address);
  localTimes();
  showKeys();
  showSwitches();
});
