// The what-if: a dial that is dragged on the curve, or moved by keys below it. htmx fetches what it does.

import { axis, colour, mark, plot, upright } from "./plot.js";

const box = document.getElementById("chart");
const dial = document.getElementById("at");
const reading = document.getElementById("at-now");
const form = document.getElementById("what-if");
const [deferred, wrong, low, high] = JSON.parse(document.getElementById("curve").textContent);
const { x: xWord, y: yWord, now, nowWord, least } = box.dataset;

// Where the dial cannot go: these cases go to a person wherever the threshold is.
function shade({ ctx, bbox, valToPos }) {
  ctx.save();
  ctx.fillStyle = colour("--line");
  ctx.fillRect(bbox.left, bbox.top, valToPos(Number(least) * 100, "x", true) - bbox.left, bbox.height);
  ctx.restore();
}

function marks(chart) {
  if (now) mark(chart, Number(now) * 100, colour("--ink-2"), nowWord, 16);
  upright(chart, Number(dial.value), colour("--accent"), 2);
}

function options() {
  const edge = { stroke: "transparent", points: { show: false } };
  return {
    cursor: { show: false },
    scales: { x: { time: false, range: [0, 100] }, y: { range: [0, Math.min(100, Math.max(...high, 10) + 2)] } },
    axes: [axis({ label: xWord }), axis({ label: yWord, size: 60 })],
    series: [{}, { stroke: colour("--accent"), width: 2, points: { show: false } }, edge, edge],
    bands: [{ series: [3, 2], fill: colour("--accent-wash") }],
    hooks: { init: [makeDraggable], drawClear: [shade], draw: [marks] },
  };
}

function makeDraggable(chart) {
  chart.over.addEventListener("pointerdown", grab);
  // Else the press would take the focus from the dial.
  chart.over.addEventListener("mousedown", (event) => event.preventDefault());
}

function turn(value) {
  const step = Number(dial.step);
  const next = Math.min(100, Math.max(Number(dial.min), Math.round(value / step) * step));
  if (next === Number(dial.value)) return;
  dial.value = next;
  dial.dispatchEvent(new Event("input", { bubbles: true }));
}

function grab(event) {
  if (event.button !== 0) return;
  const over = event.currentTarget;
  const follow = (moved) => turn(present().posToVal(moved.clientX - over.getBoundingClientRect().left, "x"));
  over.setPointerCapture(event.pointerId);
  over.addEventListener("pointermove", follow);
  const drop = () => over.removeEventListener("pointermove", follow);
  over.addEventListener("pointerup", drop, { once: true });
  over.addEventListener("pointercancel", drop, { once: true });
  follow(event);
  dial.focus({ preventScroll: true });
}

dial.addEventListener("input", () => {
  reading.textContent = `${Math.round(Number(dial.value))} %`;
  present().redraw(false);
});
// Another score is another curve: the whole page, with the dial where it stands.
form.addEventListener("input", (event) => {
  if (!event.target.matches("[data-anew]")) return;
  event.stopPropagation();
  form.submit();
}, { capture: true });

const present = plot(box, () => [options(), [deferred, wrong, low, high]]);
