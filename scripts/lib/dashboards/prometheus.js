// What a panel asks of Prometheus, with variables filled in as Grafana does, as Grafana's data frames.
import { createDataFrame, FieldType, getDisplayProcessor } from '@grafana/data';
import { defaultGraphConfig } from './defaults.js';

const seconds = (text) => parseFloat(text) * { s: 1, m: 60, h: 3600 }[text.at(-1)];

function filledIn(expr, scene, intervalMs) {
  const scrape = seconds(scene.scrape);
  // As Grafana reckons it: four scrapes, or a step and a scrape.
  const rate = `${Math.max(intervalMs / 1000 + scrape, 4 * scrape)}s`;
  const values = { __rate_interval: rate };
  for (const variable of scene.board.templating.list) values[variable.name] = variable.allValue;
  return expr.replaceAll(/\$(\w+)/g, (all, name) => values[name] ?? all);
}

async function ask(scene, what, parameters) {
  const body = new URLSearchParams(parameters);
  const answer = await (await fetch(`${scene.url}/api/v1/${what}`, { method: 'POST', body })).json();
  if (answer.status !== 'success') throw new Error(`${parameters.query}: ${answer.error}`);
  return answer.data.result;
}

const number = (text) => (text === 'NaN' ? null : Number(text));

async function samples(scene, target, intervalMs) {
  const query = filledIn(target.expr, scene, intervalMs);
  const step = intervalMs / 1000;
  if (target.instant) return ask(scene, 'query', { query, time: scene.to / 1000 });
  // Steps at multiples of the step, as Grafana aligns them.
  const [start, end] = [scene.from, scene.to].map((at) => Math.floor(at / intervalMs) * step);
  return ask(scene, 'query_range', { query, start, end, step });
}

function named(metric, legend) {
  return legend.replaceAll(/\{\{\s*(\w+)\s*\}\}/g, (_, label) => metric[label] ?? '');
}

// A frame for each series; its value's field carries what the panel says about fields.
export async function answers(scene, panel, intervalMs, theme) {
  const frames = [];
  for (const target of panel.targets) {
    for (const { metric, values, value } of await samples(scene, target, intervalMs)) {
      const all = values ?? [value];
      const name = named(metric, target.legendFormat);
      const defaults = panel.fieldConfig.defaults;
      const steps = defaults.thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
      const config = {
        ...defaults,
        displayNameFromDS: name,
        thresholds: { ...defaults.thresholds, steps },
        custom: { ...defaultGraphConfig, ...defaults.custom },
      };
      const frame = createDataFrame({
        refId: target.refId,
        name,
        fields: [
          { name: 'Time', type: FieldType.time, config: { interval: intervalMs }, values: all.map(([at]) => at * 1000) },
          { name: 'Value', type: FieldType.number, labels: metric, config, values: all.map(([, text]) => number(text)) },
        ],
      });
      const field = frame.fields[1];
      field.state = { seriesIndex: frames.length };
      field.display = getDisplayProcessor({ field, theme, timeZone: 'utc' });
      frames.push(frame);
    }
  }
  // As Grafana does: one range for all of a panel's series, unless the panel says where it begins or ends.
  const all = frames.flatMap((frame) => frame.fields[1].values.filter(Number.isFinite));
  const min = panel.fieldConfig.defaults.min ?? all.reduce((a, b) => Math.min(a, b), Infinity);
  const max = panel.fieldConfig.defaults.max ?? all.reduce((a, b) => Math.max(a, b), -Infinity);
  if (all.length) frames.forEach((frame) => (frame.fields[1].state.range = { min, max, delta: max - min }));
  return frames;
}

// When the dashboard's annotations begin: time and colour.
export async function annotations(scene) {
  const marks = [];
  for (const { expr, enable, hide, iconColor } of scene.board.annotations.list) {
    if (!expr || !enable || hide) continue;
    const step = 15;
    const [start, end] = [scene.from, scene.to].map((at) => Math.floor(at / 1000 / step) * step);
    for (const { values } of await ask(scene, 'query_range', { query: filledIn(expr, scene, step * 1000), start, end, step })) {
      const begins = values.filter(([at], n) => n === 0 || at - values[n - 1][0] > step);
      marks.push(...begins.map(([at]) => ({ at: at * 1000, color: iconColor })));
    }
  }
  return marks;
}
