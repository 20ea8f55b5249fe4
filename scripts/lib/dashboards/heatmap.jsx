// Counts by bucket over time. Prometheus' buckets hold all below them; as Grafana does, each is shown less the one below.
import { useEffect, useRef } from 'react';
import { dateTimeFormat, formattedValueToString, getValueFormat } from '@grafana/data';

// The scheme "Oranges" of ColorBrewer, light to dark.
const ORANGES = ['#fff5eb', '#fee6ce', '#fdd0a2', '#fdae6b', '#fd8d3c', '#f16913', '#d94801', '#a63603', '#7f2704'];
const BOTTOM = 22;
const LEFT = 62;

const bound = (frame) => (frame.fields[1].labels.le === '+Inf' ? Infinity : Number(frame.fields[1].labels.le));

function cells(frames) {
  const rows = [...frames].sort((a, b) => bound(a) - bound(b));
  const out = [];
  const below = new Map();
  rows.forEach((frame) => {
    const [times, counts] = frame.fields.map((field) => field.values);
    const row = { le: bound(frame), counts: new Map() };
    times.forEach((at, n) => {
      row.counts.set(at, Math.max(0, counts[n] - (below.get(at) ?? 0)));
      below.set(at, counts[n]);
    });
    out.push(row);
  });
  const used = out.map((row) => [...row.counts.values()].some((count) => count > 0));
  return out.slice(used.indexOf(true), used.lastIndexOf(true) + 1);
}

export function Heatmap({ panel, frames, theme, timeRange, width, height, seen }) {
  const canvas = useRef();
  useEffect(() => {
    const ctx = canvas.current.getContext('2d');
    const rows = cells(frames);
    const step = frames[0].fields[0].config.interval;
    const [from, to] = [timeRange.from.valueOf(), timeRange.to.valueOf()];
    const [w, h] = [width - LEFT - 8, height - BOTTOM - 6];
    const x = (at) => LEFT + ((at - from) / (to - from)) * w;
    const y = (row) => h - (row * h) / rows.length;
    const { steps, exponent, } = panel.options.color;
    const most = Math.max(...rows.flatMap((row) => [...row.counts.values()]));
    const scheme = theme.isDark ? [...ORANGES].reverse() : ORANGES;
    rows.forEach((row, n) => {
      for (const [at, count] of row.counts) {
        if (count <= 0 || at - step < from) continue;
        const share = Math.round((count / most) ** exponent * (steps - 1)) / (steps - 1);
        ctx.fillStyle = scheme[Math.round(share * (scheme.length - 1))];
        ctx.fillRect(x(at - step), y(n + 1), Math.max(1, x(at) - x(at - step) - 1), Math.max(1, h / rows.length - 1));
      }
    });
    ctx.font = `12px ${theme.typography.fontFamily}`;
    ctx.fillStyle = theme.colors.text.primary;
    ctx.textAlign = 'right';
    ctx.textBaseline = 'middle';
    const format = getValueFormat(panel.options.yAxis.unit);
    const every = Math.ceil(rows.length / Math.floor(h / 22));
    const ticks = rows.map((row, n) => [n + 1, row.le]).filter(([n, le]) => n % every === 0 && le !== Infinity);
    const texts = ticks.map(([n, le]) => {
      const text = formattedValueToString(format(le));
      ctx.fillText(text, LEFT - 6, Math.max(8, y(n)));
      return text;
    });
    ctx.textAlign = 'center';
    for (let n = 1; n < 5; n++) {
      const at = from + (n * (to - from)) / 5;
      ctx.fillText(dateTimeFormat(at, { format: 'HH:mm', timeZone: 'utc' }), x(at), h + 14);
    }
    seen({ axes: [{}, { _values: texts }], empty: rows.length === 0 });
  }, []);
  return <canvas ref={canvas} width={width} height={height} />;
}
