// The case page of a photo: an earlier photo of the same subject beside it.
//
// Each look is written into the history: a photo is loaded when it is asked for, and only once.

import { draw, stage } from "./photo.js";

const tool = stage.querySelector("[data-compare]");
const pane = document.getElementById("before");
const view = pane.querySelector(".stage-view");
const now = stage.querySelector("[data-now]");
const dates = [...pane.querySelectorAll("[data-earlier]")];
const steps = [...pane.querySelectorAll("[data-step]")];
const loaded = new Map();
let at = 0;

function load(date) {
  const picture = new Image();
  picture.dataset.photo = "";
  picture.alt = date.dataset.alt;
  picture.draggable = false;
  picture.src = date.dataset.earlier;
  view.append(picture);
  loaded.set(date, picture);
}

function show() {
  const date = pane.hidden ? null : dates[at];
  if (date && !loaded.has(date)) load(date);
  for (const each of dates) each.hidden = each !== date;
  for (const [each, picture] of loaded) picture.hidden = each !== date;
  for (const step of steps) step.setAttribute("aria-disabled", String(!dates[at + Number(step.dataset.step)]));
  draw();
}

tool.addEventListener("click", () => {
  pane.hidden = !pane.hidden;
  now.hidden = pane.hidden;
  tool.setAttribute("aria-expanded", String(!pane.hidden));
  show();
});

pane.addEventListener("click", (event) => {
  const step = event.target.closest("[data-step]");
  const next = step ? at + Number(step.dataset.step) : at;
  if (!dates[next] || next === at) return;
  at = next;
  show();
});
