/** Each kind of panel by the component that Grafana has for it. */
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  getDisplayValueAlignmentFactors,
  getFieldDisplayValues,
  VizOrientation,
  type DataFrame,
  type FieldDisplay,
  type TimeRange,
} from '@grafana/data';
import { BarGauge, BigValue, TimeSeries, useTheme2, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import type { ReactNode } from 'react';

import { Marks } from './marks';
import type { Panel } from './picture';
import { registryOf } from './registries';
import { Timeline } from './timeline';

interface Props {
  panel: Panel;
  /** After the panel's transformations. */
  data: DataFrame[];
  width: number;
  height: number;
  timeRange: TimeRange;
  marks: number[];
}

export function Visualization(props: Props): ReactNode {
  const theme = useTheme2();
  const { panel, data, width, height, timeRange, marks } = props;
  const { fieldConfig, options } = panel;
  const fieldConfigRegistry = registryOf(fieldConfig);
  const frames = applyFieldOverrides({
    data,
    fieldConfig,
    fieldConfigRegistry,
    replaceVariables: asItIs,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(frames);
  switch (panel.type) {
    case 'stat':
      return <Stat {...props} data={frames} />;
    case 'bargauge':
      return <Bars {...props} data={frames} />;
    case 'timeseries':
      return (
        <TimeSeries frames={frames} width={width} height={height} timeRange={timeRange} timeZone="utc" legend={options.legend}>
          {(config) => <Marks config={config} at={marks} color={theme.visualization.getColorByName('orange')} />}
        </TimeSeries>
      );
    case 'state-timeline': {
      const { fillOpacity } = fieldConfig.defaults.custom;
      return (
        <Timeline
          frames={frames}
          width={width}
          height={height}
          timeRange={timeRange}
          marks={marks}
          options={options}
          fillOpacity={fillOpacity}
        />
      );
    }
    case 'table':
      return (
        <TableNG
          data={frames[0]}
          width={width}
          height={height}
          cellHeight={options.cellHeight}
          noHeader={!options.showHeader}
          enableVirtualization={false}
        />
      );
    default:
      throw new Error(`${panel.title}: nothing here shows a panel of the type ${panel.type}`);
  }
}

function Stat({ panel, data, width, height }: Props) {
  const theme = useTheme2();
  const { options } = panel;
  return (
    <VizRepeater
      width={width}
      height={height}
      source={data}
      renderCounter={0}
      orientation={options.orientation}
      autoGrid
      itemSpacing={8}
      getValues={() => values(panel, data, theme)}
      getAlignmentFactors={alignment}
      renderValue={({ value, width, height, count, alignmentFactors }) => (
        <BigValue
          theme={theme}
          value={value.display}
          count={count}
          width={width}
          height={height}
          alignmentFactors={alignmentFactors}
          colorMode={options.colorMode}
          graphMode={options.graphMode}
          justifyMode={options.justifyMode}
          textMode={options.textMode}
        />
      )}
    />
  );
}

function Bars({ panel, data, width, height }: Props) {
  const theme = useTheme2();
  const { options } = panel;
  // Unless sizes are set by hand, Grafana takes these whatever the dashboard says.
  const sizes = options.sizing === 'manual' ? options : { minVizHeight: 16, minVizWidth: 8, maxVizHeight: 300 };
  return (
    <VizRepeater
      width={width}
      height={height}
      source={data}
      renderCounter={0}
      orientation={options.orientation}
      itemSpacing={10}
      minVizWidth={sizes.minVizWidth}
      minVizHeight={sizes.minVizHeight}
      maxVizHeight={sizes.maxVizHeight}
      getValues={() => values(panel, data, theme)}
      getAlignmentFactors={alignment}
      renderValue={({ value, width, height, alignmentFactors }) => (
        <BarGauge
          theme={theme}
          value={value.display}
          field={value.field}
          display={value.view?.getFieldDisplayProcessor(value.colIndex!)}
          width={width}
          height={height}
          orientation={VizOrientation.Horizontal}
          alignmentFactors={alignmentFactors}
          displayMode={options.displayMode}
          namePlacement={options.namePlacement}
          valueDisplayMode={options.valueMode}
          showUnfilled={options.showUnfilled}
          itemSpacing={10}
          lcdCellWidth={12}
        />
      )}
    />
  );
}

function values({ fieldConfig, options }: Panel, data: DataFrame[], theme: ReturnType<typeof useTheme2>) {
  return getFieldDisplayValues({
    fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables: asItIs,
    theme,
    data,
    timeZone: 'utc',
  });
}

const alignment = (values: FieldDisplay[]) => getDisplayValueAlignmentFactors(values);

/** Nothing that is shown holds a variable. */
const asItIs = (text: string) => text;
