// Accuracy among the accepted against the share deferred, drawn by uPlot; the table beside it is the fallback.

const box = document.getElementById("chart");
const { x: xWord, y: yWord, now, then, nowWord, thenWord } = box.dataset;
const points = JSON.parse(document.getElementById(box.dataset.source).textContent)
  .map(([deferral, accuracy]) => [deferral * 100, accuracy * 100])
  .sort((a, b) => a[0] - b[0]);
const reading = document.getElementById("chart-reading");
const HEIGHT = 280;
let chart = null;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const percent = (value) => `${Math.round(value * 10) / 10} %`;

function mark(plot, share, word, stroke, row) {
  if (share === "") return;
  const at = plot.valToPos(Number(share) * 100, "x", true);
  const { ctx, bbox } = plot;
  const dot = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = stroke;
  ctx.lineWidth = dot;
  ctx.setLineDash([4 * dot, 4 * dot]);
  ctx.beginPath();
  ctx.moveTo(at, bbox.top);
  ctx.lineTo(at, bbox.top + bbox.height);
  ctx.stroke();
  ctx.font = `${13 * dot}px system-ui, sans-serif`;
  const right = at > bbox.left + bbox.width * 0.8;
  ctx.textAlign = right ? "right" : "left";
  ctx.fillText(word, at + (right ? -6 : 6) * dot, bbox.top + bbox.height - (8 + 18 * row) * dot);
  ctx.restore();
}

function read(plot) {
  const at = plot.cursor.idx;
  const point = at == null ? null : points[at];
  reading.textContent = point ? `${percent(point[0])} ${xWord}, ${percent(point[1])} ${yWord}` : "";
}

function options() {
  const ink = colour("--ink-2");
  const axis = { stroke: ink, font: "13px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, values: (_, splits) => splits.map((v) => `${v} %`) };
  const highest = Math.max(...points.map((point) => point[1]));
  const lowest = Math.min(...points.map((point) => point[1]));
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { y: false },
    scales: {
      x: { time: false, range: [0, Math.max(...points.map((p) => p[0]), Number(now) * 100, Number(then) * 100) + 2] },
      y: { range: [Math.max(0, lowest - 5), Math.min(101, highest + 5)] },
    },
    axes: [{ ...axis, label: xWord }, { ...axis, label: yWord, size: 60 }],
    series: [
      {},
      { stroke: colour("--accent"), width: 2, points: { size: 6 } },
    ],
    hooks: {
      setCursor: [read],
      draw: [
        (plot) => mark(plot, now, nowWord, ink, 1),
        (plot) => mark(plot, then, thenWord, colour("--ink"), 0),
      ],
    },
  };
}

function draw() {
  chart?.destroy();
  chart = new window.uPlot(options(), [points.map((p) => p[0]), points.map((p) => p[1])], box);
}

draw();
new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
