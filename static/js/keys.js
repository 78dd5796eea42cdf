// Single keys: a person may give a shortcut another one, and this browser remembers it.
//
// data-key names the usual key of what it stands on. What is kept is a permutation, usual key to own key:
// a key that another shortcut has is swapped with it, so that no two ever share one.

const NAME = "alarm-keys";
const LOOKS = { "-": "−", arrowleft: "←", arrowright: "→" };

const dialog = () => document.getElementById("help");
let row = null;

function own() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME));
    return kept && typeof kept === "object" ? kept : {};
  } catch {
    return {};
  }
}

const pressed = (event) => (event.key === "=" ? "+" : event.key.toLowerCase());
const ownKey = (keys, usual) => keys[usual] ?? usual;

function usualOf(keys, key) {
  return Object.keys(keys).find((usual) => keys[usual] === key) ?? key;
}

// The shortcut that was pressed, by its usual key.
export const usualKey = (event) => usualOf(own(), pressed(event));

const shown = (key) => LOOKS[key] ?? key.toUpperCase();

// Every hint on the page, or in a part of it that has just come in.
export function showKeys(within = document) {
  const keys = own();
  for (const hint of within.querySelectorAll("[data-key] > kbd, [data-shortcut] kbd")) {
    const { key, shortcut } = hint.closest("[data-key], [data-shortcut]").dataset;
    hint.textContent = shown(ownKey(keys, key ?? shortcut));
  }
}

// Changing them, in the dialog -------------------------------------------------------------------

const say = (sentence) => {
  dialog().querySelector("[data-keys-say]").textContent = sentence;
};

function wait(next) {
  for (const each of [row, next]) {
    const button = each?.querySelector("[data-change]");
    if (!button) continue;
    const words = button.querySelector("[data-other]");
    [words.textContent, words.dataset.other] = [words.dataset.other, words.textContent];
    each.toggleAttribute("data-waiting", each === next);
  }
  row = next;
}

function give(key) {
  const keys = own();
  const { shortcut } = row.dataset;
  const other = usualOf(keys, key);
  [keys[shortcut], keys[other]] = [key, ownKey(keys, shortcut)];
  for (const usual of Object.keys(keys)) if (keys[usual] === usual) delete keys[usual];
  localStorage.setItem(NAME, JSON.stringify(keys));
  showKeys();
  const changed = [row, dialog().querySelector(`[data-shortcut="${CSS.escape(other)}"]`)];
  const words = (each) => `${each.querySelector("kbd").textContent}: ${each.querySelector("[data-does]").textContent}`;
  say([...new Set(changed)].filter(Boolean).map(words).join(" · "));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-change], [data-usual-keys]");
  if (!button) return;
  if ("change" in button.dataset) {
    const next = button.closest("[data-shortcut]");
    wait(next === row ? null : next);
    say(row ? dialog().querySelector("[data-keys-say]").dataset.press : "");
    return;
  }
  localStorage.removeItem(NAME);
  showKeys();
  say(button.dataset.usualKeys);
});

// Before anything else hears of the key.
document.addEventListener("keydown", (event) => {
  if (!row || event.repeat || ["Shift", "Control", "Alt", "AltGraph", "Meta", "Tab"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  if (event.key === "Escape") say("");
  else if (event.ctrlKey || event.metaKey || event.altKey || !/^[^\s\d]$/u.test(event.key)) {
    say(dialog().querySelector("[data-keys-say]").dataset.fixed);
    return;
  } else give(pressed(event));
  wait(null);
}, true);

document.addEventListener("focusout", () => row && wait(null));
window.addEventListener("storage", (event) => event.key === NAME && showKeys());
