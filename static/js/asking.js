// The page "When I am asked": messages to this browser, on or off.

import { csrfToken } from "./app.js";

const box = document.querySelector("[data-push]");
const button = box.querySelector("button");
const state = box.querySelector("[data-state]");
const able = "serviceWorker" in navigator && "PushManager" in window && box.dataset.key;

const say = (word) => (state.textContent = state.dataset[word]);

function bytes(base64url) {
  const text = atob(base64url.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

async function tell(subscription, off) {
  const answer = await fetch(box.dataset.url, {
    method: "POST",
    headers: { "X-CSRFToken": csrfToken(), "Content-Type": "application/json" },
    body: JSON.stringify({ ...subscription.toJSON(), off }),
  });
  if (!answer.ok) throw new Error(await answer.text());
}

function show(subscription) {
  button.hidden = false;
  button.textContent = subscription ? button.dataset.off : button.dataset.on;
  say(subscription ? "told" : "untold");
}

async function change() {
  button.disabled = true;
  try {
    const worker = await navigator.serviceWorker.register(box.dataset.worker);
    let subscription = await worker.pushManager.getSubscription();
    if (subscription) {
      await tell(subscription, true);
      await subscription.unsubscribe();
      subscription = null;
    } else if ((await Notification.requestPermission()) === "granted") {
      subscription = await worker.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: bytes(box.dataset.key) });
      await tell(subscription, false);
    } else {
      say("refused");
      return;
    }
    show(subscription);
  } catch {
    say("failed");
  } finally {
    button.disabled = false;
  }
}

if (able) {
  button.addEventListener("click", change);
  const worker = await navigator.serviceWorker.getRegistration("/");
  show(await worker?.pushManager.getSubscription());
} else {
  say("unable");
}
