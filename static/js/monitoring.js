// The monitoring page's charts; the tables below them hold the same numbers. The last column of each is
// the line, those before it, if any, are the ends of its interval.

import { axis, colour, DASHED, plot, segment } from "./plot.js";

const data = JSON.parse(document.getElementById("charts").textContent);

// A bar from low to high at each point: it stands also where its neighbours are not known.
function intervals(chart) {
  const [xs, lows, highs] = chart.data;
  xs.forEach((at, row) => {
    if (lows[row] !== null) segment(chart, place(chart, at, lows[row]), place(chart, at, highs[row]), colour("--edge"), 2);
  });
}

// What an honest statement would give.
function diagonal(chart) {
  const most = Math.min(chart.scales.x.max, chart.scales.y.max);
  segment(chart, place(chart, 0, 0), place(chart, most, most), colour("--ink-2"), 1, DASHED);
}

const place = (chart, x, y) => [chart.valToPos(x, "x", true), chart.valToPos(y, "y", true)];

function weekAxis(weeks) {
  const every4th = weeks.map((_, at) => at).filter((at) => (weeks.length - 1 - at) % 4 === 0);
  return axis({ size: 32, splits: () => every4th, values: (_, at) => at.map((one) => weeks[one]), grid: { show: false } });
}

function options(box, xs, columns) {
  const line = { stroke: colour("--accent"), width: 2, points: { show: true, size: 6, fill: colour("--accent") } };
  const byWeek = box.dataset.chart !== "reliability";
  // Both sides of the diagram of reliability go as far, so that its diagonal is one.
  const shown = [...columns.flat().filter((value) => value !== null), ...(byWeek ? [] : xs)];
  const highest = Math.min(100, Math.max(10, ...shown) * 1.1);
  return {
    cursor: { show: false },
    scales: { x: { time: false, range: byWeek ? [-0.3, data.weeks.length - 0.7] : [0, highest] }, y: { range: [0, highest] } },
    axes: [byWeek ? weekAxis(data.weeks) : axis({ label: box.dataset.x }), axis({ space: 40, ...(byWeek ? { size: 60 } : { label: box.dataset.y, size: 60 }) })],
    series: [{}, ...columns.slice(1).map(() => ({ show: false })), line],
    hooks: { drawAxes: [...(byWeek ? [] : [diagonal]), ...(columns.length > 1 ? [intervals] : [])] },
  };
}

function made(box) {
  const columns = [...data[box.dataset.chart]];
  const xs = box.dataset.chart === "reliability" ? columns.shift() : data.weeks.map((_, at) => at);
  return [options(box, xs, columns), [xs, ...columns]];
}

for (const box of document.querySelectorAll("[data-chart]")) plot(box, () => made(box), Number(box.dataset.height ?? 168));
