/** A small chart over shared categories: bars (side by side or stacked) and lines for the rest. */
import { h, svg } from './dom.js';

const COLORS = ['blue', 'purple', 'orange', 'green', 'red', 'yellow', 'pink'];
const [WIDTH, HEIGHT, TOP, BASE] = [600, 220, 10, 194]; // below the base is room for the names

const number = (value) => (Number.isFinite(Number(value)) ? Math.max(Number(value), 0) : 0);

export function chart(node, color) {
  const rows = (Array.isArray(node.data) ? node.data : []).slice(0, 200);
  const series = (Array.isArray(node.series) ? node.series : []).slice(0, 12).map((one, at) => ({
    ...one,
    paint: color(one.color ?? COLORS[at % COLORS.length]),
    stack: one.type === 'bar' ? String(one.stack ?? `own ${at}`) : null,
    label: String(one.label ?? one.dataKey),
    value: (row) => number(row?.[one.dataKey]),
  }));
  const axis = typeof node.xAxis === 'string' ? { dataKey: node.xAxis } : node.xAxis ?? {};
  const names = rows.map((row) => String(axis.labels?.[row?.[axis.dataKey]] ?? row?.[axis.dataKey] ?? ''));
  const stacks = [...new Set(series.map((one) => one.stack).filter(Boolean))];
  const sum = (row, stack) => series.reduce((total, one) => total + (one.stack === stack ? one.value(row) : 0), 0);
  const most = Math.max(1e-9, ...rows.flatMap((row) => [...series.map((one) => one.value(row)), ...stacks.map((stack) => sum(row, stack))]));
  const y = (value) => BASE - (value / most) * (BASE - TOP);
  const band = WIDTH / Math.max(rows.length, 1);
  const bar = Math.min((band * 0.7) / Math.max(stacks.length, 1), 56);
  const every = Math.ceil(rows.length / 8); // more names than this would run into each other

  const marks = [TOP, (TOP + BASE) / 2, BASE].map((at) => svg('line', { x1: 0, x2: WIDTH, y1: at, y2: at, class: 'chart-grid' }));
  rows.forEach((row, column) => {
    const middle = (column + 0.5) * band;
    const filled = new Map();
    for (const one of series.filter(({ stack }) => stack)) {
      const from = filled.get(one.stack) ?? 0;
      const to = from + one.value(row);
      filled.set(one.stack, to);
      const x = middle + (stacks.indexOf(one.stack) - stacks.length / 2) * bar;
      const rect = svg('rect', { x: x + 1, y: y(to), width: Math.max(bar - 2, 1), height: y(from) - y(to), rx: 3 },
        svg('title', {}, `${names[column]} – ${one.label}: ${one.value(row)}`));
      rect.style.fill = one.paint;
      marks.push(rect);
    }
    if (!axis.hide && column % every === 0) marks.push(svg('text', { x: middle, y: HEIGHT - 6, class: 'chart-name' }, names[column]));
  });
  for (const one of series.filter(({ stack }) => !stack)) {
    const line = svg('polyline', { points: rows.map((row, column) => `${(column + 0.5) * band},${y(one.value(row))}`).join(' '), class: 'chart-line' });
    line.style.stroke = one.paint;
    marks.push(line);
  }

  // In words for those who cannot see the bars.
  const words = rows.map((row, at) => `${names[at]}: ${series.map((one) => `${one.label} ${one.value(row)}`).join(', ')}`);
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: 'img', 'aria-label': `Chart. ${words.join('; ')}` }, ...marks);
  const legend = node.showLegend !== false && series.length > 1 && h('div', { class: 'chart-legend' }, series.map((one) => {
    const dot = h('span', { class: 'chart-dot' });
    dot.style.backgroundColor = one.paint;
    return h('span', null, dot, one.label);
  }));
  return h('figure', null, picture, legend);
}
