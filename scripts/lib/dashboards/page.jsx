// A dashboard as Grafana lays it out: `draw(scene)` asks Prometheus what each panel asks, draws it with Grafana's components,
// and returns what cannot be read. The heatmap alone is drawn here, because Grafana's own is in no package.
import '@fontsource/inter/400.css';
import '@fontsource/inter/500.css';
import { createTheme, dateTime, rangeUtil, setWeekStart } from '@grafana/data';
import { GlobalStyles, PanelChrome, ThemeContext } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { faults } from './checks.js';
import { Panel } from './panels.jsx';
import { annotations, answers } from './prometheus.js';

const CELL = 30;
const GAP = 8;
const HEADING = 64;

const box = (grid, width) => {
  const column = (width - 2 * GAP + GAP) / 24;
  return {
    left: GAP + grid.x * column,
    top: HEADING + grid.y * (CELL + GAP),
    width: grid.w * column - GAP,
    height: grid.h * (CELL + GAP) - GAP,
  };
};

function Row({ title, at, theme }) {
  const style = { position: 'absolute', ...at, display: 'flex', alignItems: 'center', color: theme.colors.text.primary };
  return <div style={{ ...style, fontSize: 16, fontWeight: 500 }}>⌄&ensp;{title}</div>;
}

function Board({ scene, theme, timeRange, panels, marks, seen }) {
  const { board, width } = scene;
  const heading = { position: 'absolute', left: 2 * GAP, top: GAP, color: theme.colors.text.primary };
  return (
    <>
      <div style={heading}>
        <div style={{ fontSize: 20, fontWeight: 500 }}>{board.title}</div>
        <div style={{ fontSize: 12, color: theme.colors.text.secondary }}>{board.description}</div>
      </div>
      {panels.map(({ panel, frames }) => {
        const at = box(panel.gridPos, width);
        if (panel.type === 'row') return <Row key={panel.id} title={panel.title} at={at} theme={theme} />;
        return (
          <div key={panel.id} id={`panel-${panel.id}`} style={{ position: 'absolute', left: at.left, top: at.top }}>
            <PanelChrome title={panel.title} description={panel.description} width={at.width} height={at.height}>
              {(width, height) => (
                <Panel {...{ panel, frames, theme, timeRange, width, height, marks }} seen={(what) => seen(panel.id, what)} />
              )}
            </PanelChrome>
          </div>
        );
      })}
    </>
  );
}

const settled = () => new Promise((resolve) => setTimeout(resolve, 400));

window.draw = async (scene) => {
  setWeekStart('monday');
  const { board, from, to } = scene;
  const theme = createTheme({ colors: { mode: scene.theme } });
  const timeRange = { from: dateTime(from), to: dateTime(to), raw: { from: 'now', to: 'now' } };
  const panels = await Promise.all(
    board.panels.map(async (panel) => {
      const pixels = box(panel.gridPos, scene.width).width;
      const { intervalMs } = rangeUtil.calculateInterval(timeRange, pixels, scene.scrape);
      return { panel, frames: panel.type === 'row' ? [] : await answers(scene, panel, intervalMs, theme) };
    }),
  );
  const marks = await annotations(scene);
  const plots = new Map();
  await document.fonts.ready;
  document.body.style.margin = '0';
  document.documentElement.style.background = theme.colors.background.canvas;
  createRoot(document.getElementById('root')).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Board {...{ scene, theme, timeRange, panels, marks }} seen={(id, plot) => plots.set(id, plot)} />
    </ThemeContext.Provider>,
  );
  await settled();
  const shown = panels.filter(({ panel }) => panel.type !== 'row');
  const bottom = Math.max(...panels.map(({ panel }) => box(panel.gridPos, scene.width).top + box(panel.gridPos, scene.width).height));
  const said = shown.map(({ panel, frames }) => ({
    title: panel.title,
    wrong: faults(panel, frames, document.getElementById(`panel-${panel.id}`), plots.get(panel.id)),
  }));
  return { height: Math.ceil(bottom + GAP), panels: said };
};
