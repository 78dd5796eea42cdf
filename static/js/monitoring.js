// The monitoring page's charts; the tables below them hold the same numbers. The last column of each is
// the line, those before it, if any, are the ends of its interval.

const data = JSON.parse(document.getElementById("charts").textContent);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = new Map();

// A bar from low to high at each point: it stands also where its neighbours are not known.
function intervals(plot) {
  const { ctx } = plot;
  const [xs, lows, highs] = plot.data;
  ctx.save();
  ctx.strokeStyle = colour("--edge");
  ctx.lineWidth = 2 * devicePixelRatio;
  xs.forEach((at, row) => {
    if (lows[row] === null) return;
    const x = plot.valToPos(at, "x", true);
    ctx.beginPath();
    ctx.moveTo(x, plot.valToPos(lows[row], "y", true));
    ctx.lineTo(x, plot.valToPos(highs[row], "y", true));
    ctx.stroke();
  });
  ctx.restore();
}

// What an honest statement would give.
function diagonal(plot) {
  const { ctx } = plot;
  const most = Math.min(plot.scales.x.max, plot.scales.y.max);
  ctx.save();
  ctx.strokeStyle = colour("--ink-2");
  ctx.lineWidth = devicePixelRatio;
  ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(plot.valToPos(0, "x", true), plot.valToPos(0, "y", true));
  ctx.lineTo(plot.valToPos(most, "x", true), plot.valToPos(most, "y", true));
  ctx.stroke();
  ctx.restore();
}

const tall = (box) => Number(box.dataset.height ?? 168);
const percents = (_, splits) => splits.map((value) => `${value} %`);

function axis() {
  const font = "13px system-ui, sans-serif";
  const thin = { stroke: colour("--line"), width: 1 };
  return { stroke: colour("--ink-2"), font, labelFont: font, grid: thin, ticks: thin, values: percents };
}

function weekAxis(weeks) {
  const every4th = weeks.map((_, at) => at).filter((at) => (weeks.length - 1 - at) % 4 === 0);
  return { ...axis(), size: 32, splits: () => every4th, values: (_, at) => at.map((one) => weeks[one]), grid: { show: false } };
}

function options(box, xs, columns) {
  const line = { stroke: colour("--accent"), width: 2, points: { show: true, size: 6, fill: colour("--accent") } };
  const byWeek = box.dataset.chart !== "reliability";
  // Both sides of the diagram of reliability go as far, so that its diagonal is one.
  const shown = [...columns.flat().filter((value) => value !== null), ...(byWeek ? [] : xs)];
  const highest = Math.min(100, Math.max(10, ...shown) * 1.1);
  return {
    width: box.clientWidth,
    height: tall(box),
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: byWeek ? [-0.3, data.weeks.length - 0.7] : [0, highest] }, y: { range: [0, highest] } },
    axes: [byWeek ? weekAxis(data.weeks) : { ...axis(), label: box.dataset.x }, { ...axis(), size: 48, space: 40, ...(byWeek ? {} : { label: box.dataset.y, size: 60 }) }],
    series: [{}, ...columns.slice(1).map(() => ({ show: false })), line],
    hooks: { drawAxes: [...(byWeek ? [] : [diagonal]), ...(columns.length > 1 ? [intervals] : [])] },
  };
}

function draw(box) {
  drawn.get(box)?.destroy();
  const columns = [...data[box.dataset.chart]];
  const xs = box.dataset.chart === "reliability" ? columns.shift() : data.weeks.map((_, at) => at);
  drawn.set(box, new window.uPlot(options(box, xs, columns), [xs, ...columns], box));
}

const boxes = [...document.querySelectorAll("[data-chart]")];
const drawAll = () => boxes.forEach(draw);
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: tall(target) });
});

drawAll();
for (const box of boxes) resized.observe(box);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
