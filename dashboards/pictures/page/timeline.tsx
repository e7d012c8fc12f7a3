/** Bands of states over time. Grafana's own state timeline is in no package: this one is drawn on its plot, with its colours. */
import { FieldType, getFieldDisplayName, type DataFrame, type Field, type GrafanaTheme2, type TimeRange } from '@grafana/data';
import { AxisPlacement, ScaleDirection, ScaleOrientation, type VizLegendOptions } from '@grafana/schema';
import { GraphNG, measureText, UPlotConfigBuilder, useTheme2, VizLayout, VizLegend } from '@grafana/ui';
import type uPlot from 'uplot';

import { Marks } from './marks';

interface Props {
  frames: DataFrame[];
  width: number;
  height: number;
  timeRange: TimeRange;
  marks: number[];
  options: { legend: VizLegendOptions; rowHeight: number };
  fillOpacity: number;
}

export function Timeline({ frames, width, height, timeRange, marks, options, fillOpacity }: Props) {
  const theme = useTheme2();
  const { placement, displayMode } = options.legend;
  return (
    <GraphNG
      frames={frames}
      width={width}
      height={height}
      timeRange={timeRange}
      timeZone="utc"
      theme={theme}
      legend={options.legend}
      prepConfig={(aligned) => prepare(aligned, theme, timeRange, options.rowHeight, fillOpacity / 100)}
      renderLegend={() => (
        <VizLayout.Legend placement={placement}>
          <VizLegend placement={placement} displayMode={displayMode} items={states(frames)} />
        </VizLayout.Legend>
      )}
    >
      {(config) => <Marks config={config} at={marks} color={theme.visualization.getColorByName('orange')} />}
    </GraphNG>
  );
}

/** Every state that there was, in the order of its number. */
function states(frames: DataFrame[]) {
  const fields = frames.flatMap((frame) => frame.fields.filter((field) => field.type === FieldType.number));
  const shown = new Map<number, { label: string; color: string; yAxis: number }>();
  for (const field of fields) {
    for (const value of new Set<number>(field.values)) {
      const { text, color } = field.display!(value);
      shown.set(value, { label: text, color: color!, yAxis: 1 });
    }
  }
  return [...shown].sort(([a], [b]) => a - b).map(([, item]) => item);
}

function prepare(aligned: DataFrame, theme: GrafanaTheme2, timeRange: TimeRange, rowHeight: number, opacity: number) {
  const config = new UPlotConfigBuilder('utc');
  const bands = aligned.fields.slice(1);
  const middle = (band: number) => 1 - (band + 0.5) / bands.length;
  config.addScale({
    scaleKey: 'x',
    isTime: true,
    orientation: ScaleOrientation.Horizontal,
    direction: ScaleDirection.Right,
    range: () => [timeRange.from.valueOf(), timeRange.to.valueOf()],
  });
  config.addScale({
    scaleKey: 'y',
    orientation: ScaleOrientation.Vertical,
    direction: ScaleDirection.Up,
    range: [0, 1],
  });
  config.addAxis({ scaleKey: 'x', isTime: true, placement: AxisPlacement.Bottom, timeZone: 'utc', theme, grid: { show: true } });
  config.addAxis({
    scaleKey: 'y',
    placement: AxisPlacement.Left,
    theme,
    grid: { show: false },
    ticks: { show: false },
    splits: bands.map((_, band) => middle(band)),
    values: bands.map((field) => getFieldDisplayName(field, aligned)),
  });
  bands.forEach((_, band) =>
    config.addSeries({
      scaleKey: 'y',
      pathBuilder: () => null,
      pointsBuilder: () => undefined,
      theme,
      show: true,
      dataFrameFieldIndex: { frameIndex: 0, fieldIndex: band + 1 },
    } as never)
  );
  config.setPrepData(([frame]) => frame.fields.map((field) => field.values) as uPlot.AlignedData);
  config.addHook('drawClear', (plot) =>
    bands.forEach((field, band) => {
      const height = (plot.bbox.height / bands.length) * rowHeight;
      const top = plot.valToPos(middle(band), 'y', true) - height / 2;
      for (const run of runs(aligned.fields[0].values, field)) {
        const left = plot.valToPos(run.from, 'x', true);
        const right = plot.valToPos(run.to, 'x', true);
        paint(plot, field, run.value, { left, top, width: right - left, height }, theme, opacity);
      }
    })
  );
  return config;
}

/** Where a value begins and where it ends, or is no more. */
function* runs(times: number[], { values }: Field<number | null>) {
  let from = 0;
  for (let at = 1; at <= values.length; at++) {
    if (at === values.length || values[at] !== values[from]) {
      const value = values[from];
      if (value !== null && value !== undefined) {
        yield { value, from: times[from], to: times[Math.min(at, values.length - 1)] };
      }
      from = at;
    }
  }
}

interface Box {
  left: number;
  top: number;
  width: number;
  height: number;
}

function paint({ ctx }: uPlot, field: Field, value: number, box: Box, theme: GrafanaTheme2, opacity: number) {
  const { text, color } = field.display!(value);
  const size = 12;
  ctx.save();
  ctx.fillStyle = color!;
  ctx.globalAlpha = opacity;
  ctx.fillRect(box.left, box.top, box.width, box.height);
  // "auto": the word is shown where it fits.
  if (measureText(text, size).width * devicePixelRatio < box.width - 8 * devicePixelRatio) {
    ctx.globalAlpha = 1;
    ctx.fillStyle = theme.colors.getContrastText(color!, 3);
    ctx.font = `${size * devicePixelRatio}px ${theme.typography.fontFamily}`;
    ctx.textAlign = 'center';
    ctx.textBaseline = 'middle';
    ctx.fillText(text, box.left + box.width / 2, box.top + box.height / 2);
  }
  ctx.restore();
}
