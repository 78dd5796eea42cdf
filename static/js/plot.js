// What all charts share: their colours and axes, lines on them, and being drawn anew when the window or
// the colour scheme changes. uPlot is loaded before.

export const HEIGHT = 280;
const FONT = "13px system-ui, sans-serif";

export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// An axis of percents, which may go a little beyond 100 so that a line there is whole; `own` says what is different.
export function axis(own = {}) {
  const thin = { stroke: colour("--line"), width: 1 };
  const values = (_, splits) => splits.map((value) => (value > 100 ? null : `${value} %`));
  return { stroke: colour("--ink-2"), font: FONT, labelFont: FONT, grid: thin, ticks: thin, values, ...own };
}

// A line between two points of the canvas; width and dashes in CSS pixels.
export function segment({ ctx }, from, to, stroke, width = 1, dash = []) {
  ctx.save();
  ctx.strokeStyle = stroke;
  ctx.lineWidth = width * devicePixelRatio;
  ctx.setLineDash(dash.map((part) => part * devicePixelRatio));
  ctx.beginPath();
  ctx.moveTo(...from);
  ctx.lineTo(...to);
  ctx.stroke();
  ctx.restore();
}

export const DASHED = [4, 4];

// A dashed upright line at x with a word beside it, `down` pixels below the top of the plot.
export function mark(plot, x, stroke, word, down) {
  const { ctx, bbox } = plot;
  const dot = devicePixelRatio;
  const at = plot.valToPos(x, "x", true);
  upright(plot, x, stroke, 1, DASHED);
  const right = at > bbox.left + bbox.width * 0.8;
  ctx.save();
  ctx.fillStyle = stroke;
  ctx.font = `${13 * dot}px system-ui, sans-serif`;
  ctx.textAlign = right ? "right" : "left";
  ctx.fillText(word, at + (right ? -6 : 6) * dot, bbox.top + down * dot);
  ctx.restore();
}

export function upright(plot, x, stroke, width, dash = []) {
  const at = plot.valToPos(x, "x", true);
  segment(plot, [at, plot.bbox.top], [at, plot.bbox.top + plot.bbox.height], stroke, width, dash);
}

// Draws into the box what `made` returns, [options, data]; answers with what gives the present chart.
export function plot(box, made, height = HEIGHT) {
  let chart = null;
  const draw = () => {
    const [options, data] = made();
    chart?.destroy();
    chart = new window.uPlot({ width: box.clientWidth, height, legend: { show: false }, ...options }, data, box);
  };
  draw();
  new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height })).observe(box);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  return () => chart;
}
