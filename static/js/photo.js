// The stage of a case: looking closely at a photo, a clip or a frame of it, with zoom, pan and contrast.
//
// Of the pictures in a view one is shown (clip.js). An earlier one may lie beside it (compare.js): whatever is
// done to one is done to both.

const MOST = 8;
const STEP_PX = 48;

export const stage = document.querySelector("[data-zoom]");
const views = [...stage.querySelectorAll(".stage-view")];
export const view = views[0];
const photo = view.querySelector("[data-photo]");
const level = stage.querySelector("[data-zoom-level]");
const watchers = [];
let scale = 1;
let x = 0;
let y = 0;
let grip = null;

export const within = (value, low, high) => Math.min(Math.max(value, low), high);

export const width = Number(photo.getAttribute("width"));
export const height = Number(photo.getAttribute("height"));

// Where the photo lies: its first pixel at (left, top) of the view, each of them `size` wide.
export function lie() {
  const fit = Math.min(view.clientWidth / width, view.clientHeight / height);
  return {
    left: x + (scale * (view.clientWidth - width * fit)) / 2,
    top: y + (scale * (view.clientHeight - height * fit)) / 2,
    size: scale * fit,
  };
}

// What a view shows of its pictures.
export const shown = (within) => within.querySelector("[data-photo]:not([hidden])");

// Shows one of a view's pictures, none without an address. Each look is written into the history: a picture is
// loaded when it is asked for, and only once.
export function showIn(within, address, words = "") {
  const pictures = [...within.querySelectorAll("[data-photo]")];
  const known = pictures.find((picture) => picture.getAttribute("src") === address);
  if (address && !known) {
    const picture = new Image();
    picture.dataset.photo = "";
    picture.alt = words;
    picture.draggable = false;
    picture.src = address;
    within.prepend(picture);
  }
  for (const picture of pictures) picture.hidden = picture !== known;
  draw();
}

export const whenDrawn = (watcher) => watchers.push(watcher);

export function draw() {
  // A view that is not laid out has no size to draw by.
  if (!view.clientWidth || !view.clientHeight) return;
  x = within(x, view.clientWidth * (1 - scale), 0);
  y = within(y, view.clientHeight * (1 - scale), 0);
  for (const each of views) {
    each.classList.toggle("zoomed", scale > 1);
    for (const picture of each.querySelectorAll("[data-photo]")) {
      picture.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
    }
  }
  level.textContent = `${Math.round(scale * 100)} %`;
  for (const watcher of watchers) watcher();
}

// The point (left, top) of the view stays where it is.
function zoom(factor, left = view.clientWidth / 2, top = view.clientHeight / 2) {
  const next = within(scale * factor, 1, MOST);
  x = left - ((left - x) * next) / scale;
  y = top - ((top - y) * next) / scale;
  scale = next;
  draw();
}

export function move(right, down) {
  x += right;
  y += down;
  draw();
}

// Where on its own view something happens.
export function spot(event) {
  const box = event.currentTarget.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

stage.addEventListener("click", (event) => {
  const button = event.target.closest("[data-zoom-by]");
  if (button) zoom(Number(button.dataset.zoomBy) || 1 / scale);
});

// While a view is measured on, dragging draws, and moves the photo only with Shift.
const measured = (event) => "measuring" in event.currentTarget.dataset;

for (const each of views) {
  each.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && scale === 1) return;
    event.preventDefault();
    zoom(Math.exp(-event.deltaY / 400), ...spot(event));
  }, { passive: false });

  each.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!step || scale === 1 || measured(event)) return;
    event.preventDefault();
    move(step[0] * STEP_PX, step[1] * STEP_PX);
  });

  each.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || (measured(event) && !event.shiftKey)) return;
    grip = { x: event.clientX, y: event.clientY, moved: false };
    each.setPointerCapture(event.pointerId);
  });
  each.addEventListener("pointermove", (event) => {
    if (!grip) return;
    const [right, down] = [event.clientX - grip.x, event.clientY - grip.y];
    if (!grip.moved && Math.hypot(right, down) < 4) return;
    grip = { x: event.clientX, y: event.clientY, moved: true };
    each.classList.add("moving");
    move(right, down);
  });
  each.addEventListener("pointerup", (event) => {
    if (grip && !grip.moved && !measured(event)) zoom(scale > 1 ? 1 / scale : 2.5, ...spot(event));
    grip = null;
    each.classList.remove("moving");
  });
  each.addEventListener("pointercancel", () => {
    grip = null;
    each.classList.remove("moving");
  });
}

// As it is, more contrast, most, grey, and as it is again: the photo itself stays what it was.
const looks = stage.querySelector("[data-contrast-step]");
const looksNow = looks.querySelector("[data-words]");
looks.addEventListener("click", () => {
  const words = looksNow.dataset.words.split("|");
  const next = (Number(stage.dataset.looks ?? 0) + 1) % words.length;
  if (next) stage.dataset.looks = next;
  else delete stage.dataset.looks;
  looksNow.textContent = words[next];
});

new ResizeObserver(draw).observe(view);
