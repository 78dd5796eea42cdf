// The what-if: a dial that is dragged on the curve, or moved by keys below it. htmx fetches what it does.

const box = document.getElementById("chart");
const dial = document.getElementById("at");
const reading = document.getElementById("at-now");
const form = document.getElementById("what-if");
const [deferred, wrong, low, high] = JSON.parse(document.getElementById("curve").textContent);
const { x: xWord, y: yWord, now, nowWord, least } = box.dataset;
const HEIGHT = 280;
let chart = null;

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function line(plot, at, stroke, dash, word = "") {
  const { ctx, bbox } = plot;
  const dot = devicePixelRatio;
  const x = plot.valToPos(at, "x", true);
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = stroke;
  ctx.lineWidth = (word ? 1 : 2) * dot;
  ctx.setLineDash(dash.map((part) => part * dot));
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  const right = x > bbox.left + bbox.width * 0.8;
  ctx.font = `${13 * dot}px system-ui, sans-serif`;
  ctx.textAlign = right ? "right" : "left";
  ctx.fillText(word, x + (right ? -6 : 6) * dot, bbox.top + 16 * dot);
  ctx.restore();
}

// Where the dial cannot go: these cases go to a person wherever the threshold is.
function shade({ ctx, bbox, valToPos }) {
  ctx.save();
  ctx.fillStyle = colour("--line");
  ctx.fillRect(bbox.left, bbox.top, valToPos(Number(least) * 100, "x", true) - bbox.left, bbox.height);
  ctx.restore();
}

function marks(plot) {
  if (now) line(plot, Number(now) * 100, colour("--ink-2"), [4, 4], nowWord);
  line(plot, Number(dial.value), colour("--accent"), []);
}

function options() {
  const ink = colour("--ink-2");
  const axis = { stroke: ink, font: "13px system-ui, sans-serif", labelFont: "13px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, values: (_, splits) => splits.map((value) => `${value} %`) };
  const edge = { stroke: "transparent", points: { show: false } };
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [0, 100] }, y: { range: [0, Math.min(100, Math.max(...high, 10) + 2)] } },
    axes: [{ ...axis, label: xWord }, { ...axis, label: yWord, size: 60 }],
    series: [{}, { stroke: colour("--accent"), width: 2, points: { show: false } }, edge, edge],
    bands: [{ series: [3, 2], fill: colour("--accent-wash") }],
    hooks: { drawClear: [shade], draw: [marks] },
  };
}

function draw() {
  chart?.destroy();
  chart = new window.uPlot(options(), [deferred, wrong, low, high], box);
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
  const follow = (moved) => turn(chart.posToVal(moved.clientX - over.getBoundingClientRect().left, "x"));
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
  chart.redraw(false);
});
// Another score is another curve: the whole page, with the dial where it stands.
form.addEventListener("input", (event) => {
  if (!event.target.matches("[data-anew]")) return;
  event.stopPropagation();
  form.submit();
}, { capture: true });

draw();
new ResizeObserver(() => chart.setSize({ width: box.clientWidth, height: HEIGHT })).observe(box);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
