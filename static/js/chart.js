// Accuracy among the accepted against the share deferred, drawn by uPlot; the table beside it is the fallback.

import { axis, colour, mark, plot } from "./plot.js";

const box = document.getElementById("chart");
const { x: xWord, y: yWord, now, then, nowWord, thenWord } = box.dataset;
const points = JSON.parse(document.getElementById(box.dataset.source).textContent)
  .map(([deferral, accuracy]) => [deferral * 100, accuracy * 100])
  .sort((a, b) => a[0] - b[0]);
const reading = document.getElementById("chart-reading");

const percent = (value) => `${Math.round(value * 10) / 10} %`;

// The words stand at the bottom, one above the other.
function markShare(chart, share, word, stroke, row) {
  if (share === "") return;
  const down = chart.bbox.height / devicePixelRatio - 8 - 18 * row;
  mark(chart, Number(share) * 100, stroke, word, down);
}

function read(chart) {
  const at = chart.cursor.idx;
  const point = at == null ? null : points[at];
  reading.textContent = point ? `${percent(point[0])} ${xWord}, ${percent(point[1])} ${yWord}` : "";
}

function options() {
  const highest = Math.max(...points.map((point) => point[1]));
  const lowest = Math.min(...points.map((point) => point[1]));
  return {
    cursor: { y: false },
    scales: {
      x: { time: false, range: [0, Math.max(...points.map((p) => p[0]), Number(now) * 100, Number(then) * 100) + 2] },
      y: { range: [Math.max(0, lowest - 5), Math.min(101, highest + 5)] },
    },
    axes: [axis({ label: xWord }), axis({ label: yWord, size: 60 })],
    series: [
      {},
      { stroke: colour("--accent"), width: 2, points: { size: 6 } },
    ],
    hooks: {
      setCursor: [read],
      draw: [
        (chart) => markShare(chart, now, nowWord, colour("--ink-2"), 1),
        (chart) => markShare(chart, then, thenWord, colour("--ink"), 0),
      ],
    },
  };
}

plot(box, () => [options(), [points.map((p) => p[0]), points.map((p) => p[1])]]);
