// One panel's inside, by its type. What the dashboard's JSON says is handed to Grafana's components as it is.
import { getDisplayProcessor, getDisplayValueAlignmentFactors, getFieldDisplayValues, VizOrientation } from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { Heatmap } from './heatmap.jsx';

// What Grafana shows instead of a panel without series.
const nothing = (panel) => panel.fieldConfig.defaults.noValue ?? 'No data';

export function Panel(props) {
  if (!props.frames.length) return <div style={{ padding: 16, color: props.theme.colors.text.secondary }}>{nothing(props.panel)}</div>;
  const Inside = { timeseries: Lines, stat: Stat, bargauge: Bars, heatmap: Heatmap }[props.panel.type];
  if (!Inside) throw new Error(`no component for a panel of type ${props.panel.type}`);
  return <Inside {...props} />;
}

function Lines({ panel, frames, theme, timeRange, width, height, marks, seen }) {
  const drawMarks = (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([4, 4]);
    for (const { at, color } of marks) {
      const x = plot.valToPos(at, 'x', true);
      ctx.strokeStyle = theme.visualization.getColorByName(color);
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  };
  const init = (builder) => builder.addHook('draw', (plot) => (drawMarks(plot), seen(plot)));
  const renderers = [{ fieldMap: {}, indicesOnly: [], init }];
  return <TimeSeries {...{ frames, timeRange, width, height, theme, renderers }} timeZone="utc" legend={panel.options.legend} />;
}

function values({ panel, frames, theme }, sparkline) {
  const { options, fieldConfig } = panel;
  const replaceVariables = (text) => text;
  const { reduceOptions } = options;
  return getFieldDisplayValues({ fieldConfig, reduceOptions, replaceVariables, theme, data: frames, sparkline, timeZone: 'utc' });
}

function Stat(props) {
  const { panel, theme, width, height } = props;
  const { colorMode, graphMode, justifyMode, wideLayout, orientation, textMode } = panel.options;
  const all = values(props, graphMode !== 'none');
  const one = ({ value: { display, sparkline }, width, height }) => {
    if (sparkline) Object.assign(sparkline, { timeRange: props.timeRange, highlightIndex: sparkline.y.values.length - 1 });
    const mode = textMode === 'auto' && all.length === 1 ? 'value' : textMode;
    return <BigValue {...{ theme, width, height, sparkline, colorMode, graphMode, justifyMode, wideLayout }} value={display} textMode={mode} count={all.length} />;
  };
  return <VizRepeater {...{ width, height }} orientation={orientation} getValues={() => all} renderValue={one} source={props.frames} renderCounter={0} itemSpacing={3} />;
}

function Bars(props) {
  const { panel, frames, theme, width, height } = props;
  const { displayMode, showUnfilled, valueMode, namePlacement, minVizHeight, minVizWidth, maxVizHeight } = panel.options;
  const all = values(props, false);
  const least = Math.min(0, ...all.map(({ display }) => display.numeric));
  const most = Math.max(...all.map(({ display }) => display.numeric));
  const one = ({ value: { display, field }, width, height, orientation, alignmentFactors }) => (
    <BarGauge
      {...{ theme, width, height, orientation, alignmentFactors, displayMode, showUnfilled, namePlacement }}
      value={display}
      field={{ ...field, min: field.min ?? least, max: field.max ?? most }}
      display={getDisplayProcessor({ field: frames[0].fields[1], theme })}
      text={{}}
      valueDisplayMode={valueMode}
      itemSpacing={8}
    />
  );
  return (
    <VizRepeater
      {...{ width, height, minVizHeight, minVizWidth, maxVizHeight }}
      orientation={VizOrientation.Horizontal}
      getValues={() => all}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={one}
      source={frames}
      renderCounter={0}
      itemSpacing={8}
      autoGrid={false}
    />
  );
}
