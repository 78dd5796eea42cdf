// The monitoring page's charts; the tables below them hold the same numbers. The last column of each is
// the line, those before it, if any, are the ends of its interval.

const HEIGHT = 168;
const data = JSON.parse(document.getElementById("charts").textContent);
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const drawn = new Map();

function axes(labelled) {
  const base = { stroke: colour("--ink-2"), font: "13px system-ui, sans-serif", grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 } };
  const weeks = { ...base, size: 32, splits: () => labelled.map((_, at) => at).filter((at) => (labelled.length - 1 - at) % 4 === 0), values: (_, at) => at.map((one) => labelled[one]), grid: { show: false } };
  return [weeks, { ...base, size: 48, space: 40, values: (_, splits) => splits.map((value) => `${value} %`) }];
}

function options(box, columns) {
  const known = columns.flat().filter((value) => value !== null);
  const edge = { stroke: "transparent", points: { show: false } };
  const weeks = data.x.length;
  return {
    width: box.clientWidth,
    height: HEIGHT,
    legend: { show: false },
    cursor: { show: false },
    scales: { x: { time: false, range: [-0.3, weeks - 0.7] }, y: { range: [0, Math.min(100, Math.max(10, ...known) * 1.1)] } },
    axes: axes(data.x),
    series: [{}, ...columns.slice(1).map(() => edge), { stroke: colour("--accent"), width: 2, points: { show: true, size: 6, fill: colour("--accent") } }],
    bands: columns.length > 1 ? [{ series: [2, 1], fill: colour("--accent-wash") }] : [],
  };
}

function draw(box) {
  drawn.get(box)?.destroy();
  const columns = data[box.dataset.chart];
  drawn.set(box, new window.uPlot(options(box, columns), [data.x.map((_, at) => at), ...columns], box));
}

const boxes = [...document.querySelectorAll("[data-chart]")];
const drawAll = () => boxes.forEach(draw);
const resized = new ResizeObserver((entries) => {
  for (const { target } of entries) drawn.get(target)?.setSize({ width: target.clientWidth, height: HEIGHT });
});

drawAll();
for (const box of boxes) resized.observe(box);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
