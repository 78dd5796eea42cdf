// The stage of a case: lines that are drawn on a picture, and how long they are.
//
// The ends of a line are points of the photo; the drawing above it follows zoom and pan by its viewBox. One
// line of known length sets the scale; until then a line is as long as the pixels it crosses. Nothing is stored.

import { draw, height, lie, move, shown, spot, stage, view, whenDrawn, width, within } from "./photo.js";

const SVG = "http://www.w3.org/2000/svg";
const SHORTEST_PX = 4;
const STEP_PX = 8;
const EDGE_PX = 24;
const TICK_PX = 6;
// From the end of a line to the middle of its words, and from those to the edge of the view.
const LABEL_PX = { across: 40, down: 20 };
const MM = { mm: 1, cm: 10 };

const drawing = view.querySelector(".lines");
const tool = stage.querySelector("[data-measure]");
const panel = document.getElementById("measure");
const says = panel.querySelector(".stage-says");
const form = panel.querySelector("[data-scale]");
const known = panel.querySelector("#known");
const unit = panel.querySelector("[data-unit]");
const into = panel.querySelector("[data-into]");
const clear = panel.querySelector("[data-clear]");
const labels = { off: view.getAttribute("aria-label"), on: view.dataset.labelMeasuring };

// { from, to, stated }: the length that is stated, in the unit, stands only with the line that sets the scale.
let lines = [];
// Each picture that the view has shown has lines of its own.
let picture = shown(view);
const kept = new Map();
let begun = null;
let end = null;
let cross = null;
let press = null;

const open = () => !panel.hidden;
const pixels = ({ from, to }) => Math.hypot(to[0] - from[0], to[1] - from[1]);
const ruler = () => lines.find((line) => line.stated);
const measured = () => lines.filter((line) => !line.stated);

function inWords(line) {
  const scale = ruler();
  if (!scale) return `${Math.round(pixels(line))} px`;
  const length = (pixels(line) * scale.stated) / pixels(scale);
  const digits = unit.value === "cm" || length < 10 ? 1 : 0;
  return `${line.stated ?? length.toFixed(digits)} ${unit.value}`;
}

const together = () => measured().map(inWords).join(" × ");

// Drawing ----------------------------------------------------------------------------------------

function element(name, attributes, text = "") {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.textContent = text;
  return made;
}

// On any ground: a light stroke on a dark one.
function strokes(path, kind) {
  return ["under", kind].map((name) => element("path", { class: name, d: path, "vector-effect": "non-scaling-stroke" }));
}

function caliper(line) {
  const { size } = lie();
  const { from, to } = line;
  const length = pixels(line) || 1;
  const along = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
  const tick = ([x, y], by) => `${x - (along[1] * by) / size} ${y + (along[0] * by) / size}`;
  const ends = [from, to].map((point) => `M${tick(point, -TICK_PX)}L${tick(point, TICK_PX)}`);
  return [...strokes(`M${from.join(" ")}L${to.join(" ")}${ends.join("")}`, line.stated ? "over ruler" : "over"), label(line, along)];
}

// The words stand beyond the line's end, where lines that cross it leave them alone, and always in view.
function label(line, along) {
  const { left, top, size } = lie();
  const { across, down } = LABEL_PX;
  const x = within(left + line.to[0] * size + along[0] * across, across, view.clientWidth - across);
  const y = within(top + line.to[1] * size + along[1] * down, down, view.clientHeight - down);
  const at = `translate(${(x - left) / size} ${(y - top) / size}) scale(${1 / size})`;
  return element("text", { transform: at, "text-anchor": "middle", "dominant-baseline": "central" }, inWords(line));
}

function plus([x, y]) {
  const arm = 2 * TICK_PX / lie().size;
  return strokes(`M${x - arm} ${y}H${x + arm}M${x} ${y - arm}V${y + arm}`, "over");
}

function show() {
  if (picture !== shown(view)) return turn();
  const { left, top, size } = lie();
  drawing.setAttribute("viewBox", [-left / size, -top / size, view.clientWidth / size, view.clientHeight / size].join(" "));
  const drawn = begun ? [...lines, { from: begun, to: end }] : lines;
  drawing.replaceChildren(...drawn.flatMap(caliper), ...(cross && open() ? plus(cross) : []));
}

function turn() {
  kept.set(picture, lines);
  picture = shown(view);
  lines = kept.get(picture) ?? [];
  begun = null;
  offer();
}

// What can be done now, and what has been measured.
function offer(sentence = "") {
  const told = lines.length ? (ruler() ? together() || says.dataset.scaled : inWords(lines.at(-1))) : says.dataset.begin;
  if (says.textContent !== (sentence || told)) says.textContent = sentence || told;
  form.hidden = !lines.length || Boolean(ruler());
  into.hidden = !ruler() || !measured().length || !document.getElementById(into.dataset.into);
  clear.hidden = !lines.length;
  draw();
}

function finish() {
  const line = { from: begun, to: end };
  begun = null;
  if (pixels(line) * lie().size >= SHORTEST_PX) lines.push(line);
  offer();
  if (!form.hidden) known.focus({ preventScroll: true });
}

const inPhoto = ([x, y]) => [within(x, 0, width), within(y, 0, height)];

function point(event) {
  const { left, top, size } = lie();
  const [x, y] = spot(event);
  return inPhoto([(x - left) / size, (y - top) / size]);
}

// Dragged from end to end, or clicked at both.
view.addEventListener("pointerdown", (event) => {
  if (!open() || !event.isPrimary || event.button !== 0 || event.shiftKey) return;
  view.setPointerCapture(event.pointerId);
  press = { at: spot(event), first: !begun };
  cross = null;
  end = point(event);
  begun ??= end;
  show();
});
view.addEventListener("pointermove", (event) => {
  if (!begun || !event.isPrimary || (press === null && cross)) return;
  end = point(event);
  show();
});
view.addEventListener("pointerup", (event) => {
  if (!press || !event.isPrimary) return;
  const [x, y] = spot(event);
  const dragged = Math.hypot(x - press.at[0], y - press.at[1]) >= SHORTEST_PX;
  if (dragged || !press.first) finish();
  press = null;
});
view.addEventListener("pointercancel", () => {
  press = begun = null;
  show();
});

function step(right, down) {
  const { left, top, size } = lie();
  cross ??= inPhoto([(view.clientWidth / 2 - left) / size, (view.clientHeight / 2 - top) / size]);
  cross = inPhoto([cross[0] + right / size, cross[1] + down / size]);
  const [x, y] = [left + cross[0] * size, top + cross[1] * size];
  if (begun) end = cross;
  move(within(x, EDGE_PX, view.clientWidth - EDGE_PX) - x, within(y, EDGE_PX, view.clientHeight - EDGE_PX) - y);
}

view.addEventListener("keydown", (event) => {
  if (!open() || event.ctrlKey || event.metaKey || event.altKey) return;
  const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Enter: [0, 0] }[event.key];
  if (!way) return;
  event.preventDefault();
  const by = event.shiftKey ? 1 : STEP_PX;
  step(way[0] * by, way[1] * by);
  if (event.key !== "Enter") return;
  if (begun) finish();
  else begun = end = cross;
});

// The tool ---------------------------------------------------------------------------------------

function toggle() {
  panel.hidden = !panel.hidden;
  tool.setAttribute("aria-expanded", String(open()));
  view.toggleAttribute("data-measuring", open());
  view.setAttribute("aria-label", open() ? labels.on : labels.off);
  begun = cross = null;
  offer();
  if (open()) view.focus({ preventScroll: true });
}

function empty() {
  lines = [];
  known.value = "";
  offer();
  view.focus({ preventScroll: true });
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  lines.at(-1).stated = Number(known.value);
  offer();
  view.focus({ preventScroll: true });
});

into.addEventListener("click", () => {
  const comment = document.getElementById(into.dataset.into);
  if (!comment) return offer();
  const said = `${comment.value.trimEnd()} ${together()}`.trimStart();
  if (said.length > comment.maxLength) return offer(says.dataset.full);
  comment.value = said;
  comment.dispatchEvent(new Event("input", { bubbles: true }));
  return offer(says.dataset.told.replace("{0}", together()));
});

// One step back: the line that is being drawn, the last one, the tool.
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || event.defaultPrevented || !open()) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  if (begun) begun = null;
  else if (!lines.pop()) return toggle();
  return offer();
});

tool.addEventListener("click", toggle);
clear.addEventListener("click", empty);
document.addEventListener("alarm:arrived", () => offer());
whenDrawn(show);
