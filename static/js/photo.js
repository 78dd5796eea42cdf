// The case page of a photo: looking at it closely, with zoom, pan and contrast.

const MOST = 8;
const STEP_PX = 48;

const stage = document.querySelector("[data-zoom]");
const view = stage.querySelector(".stage-view");
const photo = view.querySelector("[data-photo]");
const level = stage.querySelector("[data-zoom-level]");
let scale = 1;
let x = 0;
let y = 0;
let grip = null;

const within = (value, low, high) => Math.min(Math.max(value, low), high);

function draw() {
  x = within(x, view.clientWidth * (1 - scale), 0);
  y = within(y, view.clientHeight * (1 - scale), 0);
  photo.style.transform = scale === 1 ? "" : `translate(${x}px, ${y}px) scale(${scale})`;
  view.classList.toggle("zoomed", scale > 1);
  level.textContent = `${Math.round(scale * 100)} %`;
}

// The point (left, top) of the view stays where it is.
function zoom(factor, left = view.clientWidth / 2, top = view.clientHeight / 2) {
  const next = within(scale * factor, 1, MOST);
  x = left - ((left - x) * next) / scale;
  y = top - ((top - y) * next) / scale;
  scale = next;
  draw();
}

function move(right, down) {
  x += right;
  y += down;
  draw();
}

stage.addEventListener("click", (event) => {
  const button = event.target.closest("[data-zoom-by]");
  if (button) zoom(Number(button.dataset.zoomBy) || 1 / scale);
});

view.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && scale === 1) return;
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
}, { passive: false });

view.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [1, 0], ArrowRight: [-1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
  if (!step || scale === 1) return;
  event.preventDefault();
  move(step[0] * STEP_PX, step[1] * STEP_PX);
});

view.addEventListener("pointerdown", (event) => {
  if (event.button !== 0) return;
  grip = { x: event.clientX, y: event.clientY, moved: false };
  view.setPointerCapture(event.pointerId);
});
view.addEventListener("pointermove", (event) => {
  if (!grip) return;
  const [right, down] = [event.clientX - grip.x, event.clientY - grip.y];
  if (!grip.moved && Math.hypot(right, down) < 4) return;
  grip = { x: event.clientX, y: event.clientY, moved: true };
  view.classList.add("moving");
  move(right, down);
});
view.addEventListener("pointerup", (event) => {
  if (grip && !grip.moved) {
    const box = view.getBoundingClientRect();
    zoom(scale > 1 ? 1 / scale : 2.5, event.clientX - box.left, event.clientY - box.top);
  }
  grip = null;
  view.classList.remove("moving");
});
view.addEventListener("pointercancel", () => {
  grip = null;
  view.classList.remove("moving");
});

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
