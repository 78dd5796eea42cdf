// The stage of a clip: it is played, and a frame of the strip lies on the stage in its place, as a photo does.

import { LOCALE } from "./app.js";
import { showIn, stage, view } from "./photo.js";

const clip = view.querySelector("video");
const player = stage.querySelector("[data-player]");
const play = player.querySelector("[data-play]");
const seek = player.querySelector("[data-seek]");
const second = player.querySelector("[data-second]");
const turns = [...player.querySelectorAll("[data-turn]")];
const frames = [...stage.querySelectorAll("[data-at]")];
const words = { paused: play.getAttribute("aria-label"), playing: play.dataset.other };
const number = new Intl.NumberFormat(LOCALE, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
// The place in the strip; before the first is the clip itself.
let at = -1;

// The place one on, or one back; from the clip that after, or before, its second.
function turned(step) {
  if (frames[at]) return at + step;
  const next = frames.findIndex((frame) => Number(frame.dataset.at) >= clip.currentTime);
  const after = next < 0 ? frames.length : next;
  return step > 0 ? after : after - 1;
}

function tell() {
  seek.value = clip.currentTime;
  second.textContent = `${number.format(clip.currentTime)}\u202fs`;
  seek.setAttribute("aria-valuetext", second.textContent);
  for (const turn of turns) turn.setAttribute("aria-disabled", String(!frames[turned(Number(turn.dataset.turn))]));
}

// One of the frames, or the clip where it stands.
function show(next) {
  at = next;
  const frame = frames[at];
  if (frame) {
    clip.pause();
    clip.currentTime = Number(frame.dataset.at);
    showIn(view, frame.getAttribute("href"), frame.getAttribute("aria-label"));
    frame.scrollIntoView({ block: "nearest", inline: "nearest" });
  } else showIn(view, clip.getAttribute("src"));
  for (const each of frames) {
    if (each === frame) each.setAttribute("aria-current", "true");
    else each.removeAttribute("aria-current");
  }
  tell();
}

stage.addEventListener("click", (event) => {
  const turn = event.target.closest("[data-turn]");
  if (turn && frames[turned(Number(turn.dataset.turn))]) show(turned(Number(turn.dataset.turn)));
  const chosen = event.target.closest("[data-at]");
  // In another tab the link leads to the frame itself.
  if (!chosen || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  show(frames.indexOf(chosen));
});

play.addEventListener("click", () => {
  show(-1);
  // That it is paused before it has begun is no error.
  if (clip.paused) clip.play().catch(() => {});
  else clip.pause();
});
seek.addEventListener("input", () => {
  clip.pause();
  clip.currentTime = Number(seek.value);
  show(-1);
});
clip.addEventListener("timeupdate", tell);
for (const name of ["play", "pause"]) {
  clip.addEventListener(name, () => {
    play.toggleAttribute("data-playing", !clip.paused);
    play.setAttribute("aria-label", clip.paused ? words.paused : words.playing);
  });
}

function giveUp() {
  for (const each of [play, seek, second]) each.hidden = true;
  stage.querySelector("[data-unplayable]").hidden = false;
}

// What is drawn on the stage belongs to the stage: the browser's own controls would be zoomed with the clip.
clip.controls = false;
player.hidden = false;
show(-1);
clip.addEventListener("error", giveUp);
if (clip.error) giveUp();
