// What makes a drawn panel one that cannot be read.
import { getValueFormats } from '@grafana/data';

const UNITS = new Set(getValueFormats().flatMap(({ submenu }) => submenu.map(({ value }) => value)));
const MOST_SERIES = 40;

export function faults(panel, frames, element, plot) {
  const wrong = [];
  const numbers = frames.flatMap((frame) => frame.fields[1].values.filter(Number.isFinite));
  // A panel for what should not happen says that there is none.
  const quiet = panel.fieldConfig.defaults.noValue && !frames.length;
  if ((!numbers.length && !quiet) || plot?.empty) wrong.push('empty');
  if (!UNITS.has(panel.fieldConfig.defaults.unit)) wrong.push(`no unit of Grafana's: ${panel.fieldConfig.defaults.unit}`);
  const title = [...element.querySelectorAll('h2, h6')].find((heading) => heading.innerText === panel.title);
  if (!title) wrong.push('its title is not shown');
  else if (title.scrollWidth > title.clientWidth) wrong.push('its title is cut');
  if (numbers.length) wrong.push(...(panel.type === 'timeseries' ? lines(frames, plot, numbers) : others(panel, element)));
  return wrong;
}

function lines(frames, plot, numbers) {
  const wrong = [];
  // A key whose label is empty has no name; Grafana then makes one up.
  const unnamed = (frame) => frame.fields[1].config.displayNameFromDS.trim() === '' && !Object.keys(frame.fields[1].labels).length;
  const names = frames.filter((frame) => !unnamed(frame)).map((frame) => frame.fields[1].config.displayNameFromDS);
  const odd = names.filter((name) => !name.trim() || /[{}$]/.test(name));
  if (odd.length) wrong.push(`legend: ${odd.join(', ') || 'no name'}`);
  const twice = names.filter((name, n) => names.indexOf(name) !== n);
  if (twice.length) wrong.push(`more than one series is called ${twice[0]}`);
  if (names.length > MOST_SERIES) wrong.push(`${names.length} series`);
  if (!plot) return [...wrong, 'no plot'];
  const axis = plot.axes[1];
  const ticks = (axis._values ?? []).filter((text) => text);
  if (ticks.length < 2) wrong.push(`axis: ${JSON.stringify(ticks)}`);
  if (new Set(ticks).size < ticks.length) wrong.push(`axis says the same twice: ${ticks.join(', ')}`);
  const { min, max } = plot.scales[axis.scale];
  // An axis that is held at least so high is meant to be; stacked values are higher than each of them.
  const meant = frames[0].fields[1].config.custom.axisSoftMax;
  const stacked = frames[0].fields[1].config.custom.stacking.mode !== 'none';
  const most = numbers.reduce((a, b) => Math.max(a, b), 0);
  if (!stacked && !meant && most > 0 && most < (max - min) / 10) wrong.push(`axis reaches ${max}, its values only ${most}`);
  return wrong;
}

function others(panel, element) {
  if (panel.type === 'heatmap') return [];
  const text = element.innerText.replace(panel.title, '').trim();
  return text && !/NaN|undefined|null/.test(text) ? [] : [`shows ${JSON.stringify(text)}`];
}
