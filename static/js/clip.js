// The case page of a clip: a frame of the strip takes the clip to its second.

const stage = document.querySelector("[data-clip]");
const clip = stage.querySelector("video");
const frames = [...stage.querySelectorAll("[data-at]")];
const whole = stage.querySelector("[data-whole-frame]");

stage.addEventListener("click", (event) => {
  const chosen = event.target.closest("[data-at]");
  // Where the clip cannot be played, and in another tab, the link leads to the frame itself.
  if (!chosen || clip.error || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  clip.pause();
  clip.currentTime = Number(chosen.dataset.at);
  whole.href = chosen.href;
  whole.hidden = false;
  for (const frame of frames) {
    if (frame === chosen) frame.setAttribute("aria-current", "true");
    else frame.removeAttribute("aria-current");
  }
});
