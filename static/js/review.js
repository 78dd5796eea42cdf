// The case page: the time that is left of the hold, and what is typed is kept as a draft.

import { csrfToken, localTimes } from "./app.js";

const SOON_S = 120;
const PAUSE_MS = 700;

let draft = 0;
let unsent = false;

function countDown() {
  const lease = document.getElementById("lease");
  if (!lease) return;
  const left = "over" in lease.dataset ? 0 : Math.round((new Date(lease.dataset.expires) - Date.now()) / 1000);
  const shown = Math.max(left, 0);
  const text = `${Math.floor(shown / 60)}:${String(shown % 60).padStart(2, "0")}`;
  lease.querySelector("[data-countdown]").textContent = text;
  lease.classList.toggle("soon", left < SOON_S && left > 0);
  lease.classList.toggle("over", left <= 0);
  const again = lease.querySelector("[data-again]");
  again.hidden = again.disabled = left > 0;
  const warning = lease.querySelector(".lease-warning");
  const sentence = left <= 0 ? warning.dataset.over : left < SOON_S ? warning.dataset.soon : "";
  if (warning.textContent !== sentence) warning.textContent = sentence;
}

// A draft that was kept is a sign of life: the hold has a fresh term.
function prolong(until) {
  const lease = document.getElementById("lease");
  if (!lease || !until) return;
  lease.dataset.expires = until;
  lease.querySelector("time").dateTime = until;
  localTimes(lease);
  countDown();
}

countDown();
setInterval(countDown, 1000);

// One send after the other: the newest words must arrive last.
let sending = Promise.resolve();

function keep(form) {
  clearTimeout(draft);
  draft = 0;
  // keepalive: also when the page is being left.
  const sent = { method: "POST", body: new FormData(form), headers: { "X-CSRFToken": csrfToken() }, keepalive: true };
  sending = sending.then(() => send(form, sent));
}

async function send(form, sent) {
  const state = form.querySelector("#draft-state");
  try {
    const answer = await fetch(form.dataset.draft, sent);
    unsent = !answer.ok;
    if (answer.ok) prolong(answer.headers.get("Lease-Expires"));
    state.textContent = answer.ok ? state.dataset.kept : answer.status < 500 ? await answer.text() : state.dataset.lost;
  } catch {
    // The network: tried again with the next change, or on leaving.
    unsent = true;
    state.textContent = state.dataset.lost;
  }
}

document.addEventListener("input", (event) => {
  const form = event.target.closest("[data-draft]");
  if (!form) return;
  clearTimeout(draft);
  draft = setTimeout(keep, PAUSE_MS, form);
});
document.addEventListener("submit", (event) => {
  const form = document.querySelector("[data-draft]");
  // What is typed goes along with its own form; another one must not take it away.
  if (draft && form && event.target !== form) keep(form);
  clearTimeout(draft);
  draft = 0;
});
document.addEventListener("visibilitychange", () => {
  const form = document.querySelector("[data-draft]");
  if (document.hidden && (draft || unsent) && form) keep(form);
});
