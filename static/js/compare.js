// The stage of a case: what came earlier from the same subject or camera beside it, a photo or a frame of a clip.

import { showIn, stage } from "./photo.js";

const tool = stage.querySelector("[data-compare]");
const pane = document.getElementById("before");
const view = pane.querySelector(".stage-view");
const now = stage.querySelector("[data-now]");
const dates = [...pane.querySelectorAll("[data-earlier]")];
// Beside each date the frames to choose from; of a photo there are none.
const choices = [...pane.querySelectorAll("[data-frames]")];
const steps = [...pane.querySelectorAll("[data-step]")];
let at = 0;

function show() {
  const date = pane.hidden ? null : dates[at];
  showIn(view, date && (choices[at].value || date.dataset.earlier), date?.dataset.alt);
  for (const each of dates) each.hidden = each !== date;
  for (const each of choices) each.hidden = each !== choices[at] || !each.value;
  for (const step of steps) step.setAttribute("aria-disabled", String(!dates[at + Number(step.dataset.step)]));
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
pane.addEventListener("change", show);
