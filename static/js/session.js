// Whoever is there stays signed in; whoever is not is warned, and then signed out.
//
// The server counts what a person does, not what the page fetches. Reading and typing are told it once a minute.

import { csrfToken } from "./app.js";

const WARNING_S = 120;
const TELL_MS = 60_000;

const dialog = document.getElementById("session-ends");
const { url } = dialog.dataset;
let ends = Date.now() + dialog.dataset.left * 1000;
let active = false;
let timer = 0;

async function ask(method) {
  const headers = { Accept: "application/json", "X-CSRFToken": csrfToken() };
  try {
    const answer = await fetch(url, { method, headers, cache: "no-store" });
    // Over: the page that comes is the one to sign in.
    if (answer.status === 401 || answer.status === 403) location.reload();
    if (answer.ok) ends = Date.now() + (await answer.json()).left * 1000;
  } catch {
    // Not reached: it is asked again.
  }
}

const left = () => (ends - Date.now()) / 1000;

function plan() {
  clearTimeout(timer);
  const wait = left() > WARNING_S ? left() - WARNING_S : Math.max(1, left());
  timer = setTimeout(look, wait * 1000 + 500);
}

// Another tab may have gone on meanwhile, so the server is asked before anybody is.
async function look() {
  await ask("GET");
  const soon = left() <= WARNING_S;
  if (soon && !dialog.open) dialog.showModal();
  if (!soon && dialog.open) dialog.close();
  if (left() < -5) location.reload(); // not even an answer
  plan();
}

async function stay() {
  await ask("POST");
  if (left() > WARNING_S) dialog.close();
  else dialog.querySelector("[data-last]").hidden = false;
  plan();
}

async function tell() {
  if (!active || dialog.open) return;
  active = false;
  await ask("POST");
  plan();
}

for (const kind of ["pointerdown", "pointermove", "keydown", "wheel", "touchstart"]) {
  document.addEventListener(kind, () => (active = true), { passive: true });
}
dialog.querySelector("[data-stay]").addEventListener("click", (event) => {
  event.preventDefault();
  stay();
});
dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  stay();
});
document.addEventListener("visibilitychange", () => {
  if (!document.hidden && left() <= WARNING_S) look();
});
setInterval(tell, TELL_MS);
plan();
